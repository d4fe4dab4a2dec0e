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


def demo_photo(name: str) -> Path:
    """The file of a photograph in `PHOTOS`."""
    package, file, _ = PHOTOS[name]
    return Path(str(resources.files(package) / file))
