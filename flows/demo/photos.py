"""Real photographs that a fresh machine has: those inside installed wheels, all free to show."""

from importlib import resources
from pathlib import Path

PHOTOS = {
    # name → (package, file, who made it)
    "temple": ("sklearn.datasets.images", "china.jpg", "danielbuechele, CC BY 2.0"),
    "flower": ("sklearn.datasets.images", "flower.jpg", "vultilion, CC BY 2.0"),
    "astronaut": ("skimage.data", "astronaut.png", "NASA, public domain"),
    "coffee": ("skimage.data", "coffee.png", "Rachel Michetti, CC0"),
    "cat": ("skimage.data", "chelsea.png", "Stéfan van der Walt, CC0"),
    "rocket": ("skimage.data", "rocket.jpg", "SpaceX, CC0"),
}

TILES = (2, 3)
"""Rows and columns that a photograph is cut into: more pictures to learn from."""


def demo_photo(name: str) -> Path:
    """The file of a photograph in `PHOTOS`."""
    package, file, _ = PHOTOS[name]
    return Path(str(resources.files(package) / file))


def write_training_photos(folder: Path) -> int:
    """Write the parts of all photographs as JPEGs into a folder; how many. Those that are there stay."""
    from pcakd.files import write_atomic
    from pcakd.photos.images import encode_photo, read_photo, to_image

    count = 0
    for name in PHOTOS:
        rgb = read_photo(demo_photo(name)).rgb
        height, width = rgb.shape[0] // TILES[0], rgb.shape[1] // TILES[1]
        for place in range(TILES[0] * TILES[1]):
            top, left = place // TILES[1] * height, place % TILES[1] * width
            path = folder / f"{name}-{place}.jpg"
            if not path.exists():
                part = to_image(rgb[top : top + height, left : left + width])
                write_atomic(path, encode_photo(part, "JPEG", quality=95))
            count += 1
    return count


def write_bulk_photos(folder: Path) -> int:
    """Write the photographs that the bulk job stylizes; how many. Those that are there stay."""
    from pcakd.files import write_atomic

    names = ("temple", "coffee", "cat", "astronaut")
    for name in names:
        path = folder / f"{name}{demo_photo(name).suffix}"
        if not path.exists():
            write_atomic(path, demo_photo(name).read_bytes())
    return len(names)
