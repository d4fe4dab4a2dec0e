"""Draw docs/pictures/before-after.jpg: photographs from installed packages, stylized by the built-in models.

python docs/pictures/before_after.py
"""

from pathlib import Path

from flows.demo.photos import demo_photo
from pcakd import Stylizer
from pcakd.files import write_atomic
from pcakd.photos.grid import photo_grid
from pcakd.photos.images import encode_photo, read_photo, to_image

PAIRS = [("temple", "rocket"), ("temple", "flower"), ("coffee", "temple"), ("cat", "rocket")]
"""(content, style)"""


def main() -> None:
    stylizers = {name: Stylizer.load(name) for name in ("vgg", "mobilenet")}
    rows = []
    for content, style in PAIRS:
        photos = [to_image(read_photo(demo_photo(name)).rgb) for name in (content, style)]
        results = [stylizer.stylize(demo_photo(content), demo_photo(style)) for stylizer in stylizers.values()]
        rows.append(photos + results)
    grid = photo_grid(rows, header=["content", "style", *stylizers], cell=(300, 200))
    write_atomic(Path(__file__).with_name("before-after.jpg"), encode_photo(grid, "JPEG", quality=85))


if __name__ == "__main__":
    main()
