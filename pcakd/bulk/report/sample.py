"""A few photos of a job, before and after, small enough for a page: at most twelve objects are fetched for it."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from pcakd.errors import AccessError, PhotoError, TransientError, UsageError
from pcakd.photos.images import encode_photo, read_photo, to_image
from pcakd.photos.leftovers import is_clip
from pcakd.photos.outcomes import OK
from pcakd.storage import Storage
from pcakd.storage.keys import key_of

FETCHES = 12
MOST_BYTES = 32 << 20
MOST_PIXELS = 50_000_000
"""Larger photos are not shown: a report must not need the memory that the job took care of."""
STYLE_PHOTOS = 12
SIDE = 320
"""Longest side of a thumbnail, pixels: sharp on a screen of two dots a pixel."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One thumbnail; `data` is a data: address, or empty with the reason in `why`."""

    title: str
    data: str = ""
    why: str = ""
    width: int = 0
    height: int = 0
    output: str = ""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A photo before, and after in each style that is shown."""

    key: str
    before: Picture
    after: Sequence[Picture]


@dataclass
class Sample:
    """The photos that a report shows: those whose key has the smallest hash, so always the same ones."""

    chosen: dict[str, tuple[bytes, dict[tuple[str, str], dict[str, Any]]]] = field(default_factory=dict)

    def add(self, rows: pa.Table) -> None:
        """rows: one row an item; those that are ok and not large take part."""
        fits = pc.and_(pc.equal(rows["status"], OK), pc.less_equal(rows["size"], MOST_BYTES))
        fits = pc.and_(fits, pc.less_equal(pc.fill_null(rows["output_size"], 0), MOST_BYTES))
        pixels = pc.multiply(rows["width"].cast(pa.int64()), rows["height"].cast(pa.int64()))
        fits = pc.and_(fits, pc.less_equal(pc.fill_null(pixels, 0), MOST_PIXELS))
        kept = rows.select(["key", "style", "output"]).filter(pc.fill_null(fits, False))
        bar = max((rank for rank, _ in self.chosen.values()), default=b"\xff" * 8) if self._full else b"\xff" * 8
        for row in kept.to_pylist():
            if is_clip(row["key"]):
                continue
            rank = hashlib.blake2b(row["key"].encode(errors="surrogatepass"), digest_size=8).digest()
            if rank > bar and row["key"] not in self.chosen:
                continue
            _, items = self.chosen.setdefault(row["key"], (rank, {}))
            if len(items) < FETCHES - 1:
                items[row["style"], row["output"]] = row
            if len(self.chosen) > FETCHES // 2:
                del self.chosen[max(self.chosen, key=lambda key: self.chosen[key][0])]
                bar = max(rank for rank, _ in self.chosen.values())

    @property
    def _full(self) -> bool:
        return len(self.chosen) >= FETCHES // 2

    def fetch(self, source: Storage, dest: Storage) -> list[Example]:
        """Read and shrink them; stops at a storage that refuses or does not answer."""
        examples: list[Example] = []
        left = FETCHES
        try:
            for key, (_, items) in sorted(self.chosen.items(), key=lambda item: item[1][0]):
                wanted = [items[name] for name in sorted(items)][: max(0, left - 1)]
                if not wanted:
                    break
                left -= 1 + len(wanted)
                before = _picture(source, key_of(key), "before")
                after = [_picture(dest, row["output"], row["style"], output=row["output"]) for row in wanted]
                examples.append(Example(key=key, before=before, after=after))
        except (AccessError, TransientError):
            pass  # why the storage is away is said where it stopped the job; a report without pictures still counts
        return sorted(examples, key=lambda example: example.key)


def style_pictures(styles: Mapping[str, Sequence[bytes]]) -> list[Picture]:
    """Thumbnails of the style photos, the first twelve."""
    photos = [(name, data) for name, datas in styles.items() for data in datas]
    return [_thumbnail(data, name) for name, data in photos[:STYLE_PHOTOS]]


def _picture(storage: Storage, key: str, title: str, output: str = "") -> Picture:
    try:
        return _thumbnail(storage.read(key), title, output=output)
    except AccessError:
        raise
    except UsageError:  # gone, or a key that this storage cannot hold
        return Picture(title=title, why="no longer there")


def _thumbnail(data: bytes, title: str, output: str = "") -> Picture:
    try:
        photo = read_photo(data, max_pixels=MOST_PIXELS)
    except PhotoError as error:
        return Picture(title=title, why=f"cannot be shown ({error.reason})")
    image = to_image(*photo.encoded(8))
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    text = base64.b64encode(encode_photo(image, "JPEG", quality=80)).decode()
    return Picture(
        title=title, data=f"data:image/jpeg;base64,{text}", width=image.width, height=image.height, output=output
    )
