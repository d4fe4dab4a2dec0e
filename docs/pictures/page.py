"""Draw docs/pictures/page*.jpg: the page in the browser on a desktop, in the dark, and as wide as a phone.

python -m docs.pictures.page       (from the repository's root; needs what the tests need)
"""

import io
import tempfile
from pathlib import Path

from PIL import Image

from flows.demo.photos import demo_photo
from tests.pcakd.ui.page import OpenPage, serving
from tests.servers.browser import browser

SHOTS = {"page": (False, 1360), "page-dark": (True, 1360), "page-phone": (False, 400)}
"""File → (dark, width in pixels)."""
HEIGHT = 1230
"""What is below is cut off: on a phone, most knobs."""


def main() -> None:
    with serving() as address, browser() as chromium, tempfile.TemporaryDirectory() as folder:
        for name, (dark, width) in SHOTS.items():
            chromium.emulate(dark=dark, width=width)
            page = OpenPage(chromium, address, Path(folder) / "downloads")
            page.choose("contents", demo_photo("temple"))
            page.choose("styles", demo_photo("flower"))
            page.picture()
            shot = Image.open(io.BytesIO(chromium.screenshot())).convert("RGB")
            shot.crop((0, 0, shot.width, min(shot.height, HEIGHT))).save(
                Path(__file__).with_name(f"{name}.jpg"), quality=88, optimize=True
            )


if __name__ == "__main__":
    main()
