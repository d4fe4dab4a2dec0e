"""Photos that lie where the page runs: of the folder or bucket that it was given, and examples that need neither."""

import io
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageOps

from pcakd.errors import NotFoundError, UsageError
from pcakd.photos.decode import decoder_errors
from pcakd.photos.images import check_pixels, encode_photo, peek, read_photo
from pcakd.photos.leftovers import is_left_out
from pcakd.photos.shrink import to_longest_side
from pcakd.photos.write import to_image
from pcakd.storage import Storage, open_storage, shown

EXAMPLES = {"coffee": "coffee.png", "rocket": "rocket.jpg", "cat": "chelsea.png", "stars": "hubble_deep_field.jpg"}
"""Name → file among those that scikit-image brings: CC0 (Rachel Michetti, SpaceX, Stéfan van der Walt), and NASA's."""
PAGE = 24
"""Photos that are listed at once."""
LOOKED_AT = 20_000
"""Keys that are gone through for one page: a bucket's folder may hold millions."""
THUMB = 240
"""Longest side of a small picture, pixels."""


class GalleryPage(NamedTuple):
    """folders, photos: keys; after: where the next page begins, "" for none."""

    folders: list[str]
    photos: list[str]
    after: str


class Gallery:
    """What can be browsed. Keys are relative to the place; none leads out of it."""

    def __init__(self, place: str | None, *, max_upload: int, max_pixels: int) -> None:
        self.place, self.max_upload, self.max_pixels = place, max_upload, max_pixels
        self._storage: Storage | None = None if place is None else open_storage(place)

    def check(self) -> None:
        """Raise NotFoundError, AccessError for a place that cannot be read."""
        if self._storage is not None:
            self._storage.check()

    def page(self, folder: str = "", after: str = "") -> GalleryPage:
        """What lies in a folder ("" or ending with "/"): its folders, and some of its photos in the order of keys."""
        storage = self._opened()
        if folder:
            checked_key(folder.removesuffix("/"))
            folder = folder.removesuffix("/") + "/"
        folders, photos = dict[str, None](), list[str]()
        for number, entry in enumerate(storage.list(folder)):
            rest = entry.key.removeprefix(folder)
            if "/" in rest:
                folders[folder + rest.split("/")[0] + "/"] = None
            elif entry.key > after and not is_left_out(entry.key):
                if len(photos) == PAGE:
                    return GalleryPage(list(folders), photos, photos[-1])
                photos.append(entry.key)
            if number >= LOOKED_AT:
                break
        return GalleryPage(list(folders), photos, "")

    def read(self, key: str) -> tuple[bytes, str]:
        """(content, place) of a photo. Raises NotFoundError, AccessError, UsageError for one that is too large."""
        storage = self._opened()
        entry = storage.head(checked_key(key))
        if entry is None:
            raise NotFoundError(f"{shown(key)}: is not there")
        if entry.size > self.max_upload:
            raise UsageError(f"{shown(key)}: is larger than this page takes")
        return storage.read(key), storage.uri(key)

    def thumb(self, key: str) -> bytes:
        """A small JPEG of a photo. Raises PhotoError for what is none."""
        return thumb(self.read(key)[0], key, self.max_pixels)

    def _opened(self) -> Storage:
        if self._storage is None:
            raise UsageError("there is nothing to browse; start `pcakd ui` with --photos")
        return self._storage


def example(name: str) -> Path:
    """The file of an example. Raises NotFoundError."""
    if name not in EXAMPLES:
        raise NotFoundError(f"{name!r}: no such example")
    return Path(str(resources.files("skimage.data") / EXAMPLES[name]))


def checked_key(key: str) -> str:
    """The key. Raises UsageError for one that is no plain relative path: nothing leads out of the gallery."""
    parts = key.split("/")
    if not key or "\\" in key or not key.isprintable() or any(part in ("", ".", "..", "~") for part in parts):
        raise UsageError("this is no photo of the gallery")
    return key


def thumb(data: bytes, name: str, max_pixels: int) -> bytes:
    """A small JPEG of an encoded photo; a JPEG is decoded no finer than needed. Raises PhotoError."""
    height, width = peek(data, name).size
    check_pixels(width, height, name, max_pixels)
    if data[:2] != b"\xff\xd8":
        photo = to_longest_side(read_photo(data, name=name, max_pixels=max_pixels), THUMB)
        return encode_photo(to_image(photo.rgb8), "JPEG", quality=80)
    with decoder_errors(name, data):
        image = Image.open(io.BytesIO(data))
        image.draft("RGB", (THUMB, THUMB))
        image.thumbnail((THUMB, THUMB))
        small = ImageOps.exif_transpose(image).convert("RGB")
    small.info = {}
    return encode_photo(small, "JPEG", quality=80)
