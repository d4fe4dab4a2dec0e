"""Photos that the page was given: whole in a temporary folder, their screen-size copies in memory."""

import re
import secrets
import shutil
import tempfile
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image

from pcakd.errors import NotFoundError, UsageError
from pcakd.photos.images import read_photo
from pcakd.photos.photo import Photo
from pcakd.photos.shrink import to_longest_side
from pcakd.units import shown_bytes

SCREEN = 1280
"""Longest side of a copy for the screen, pixels."""
KEPT_BYTES = 2 << 30
"""Of uploads and results on the disk; the oldest go first."""
KEPT_PHOTOS = 200
"""Screen-size copies take 4 MB each."""
RECENT_PIXELS = 1 << 26
"""Of photos that stay decoded, together: the pair that was given last need not be decoded again."""
LONGEST_NAME = 100


@dataclass(frozen=True, kw_only=True)
class KeptPhoto:
    """One photo. id: nobody can guess it; name: a file name, as people know it; place: what a command line calls it;
    path: the file in the temporary folder; screen: one frame, at most `SCREEN` pixels long; size: (height, width)."""

    id: str
    name: str
    place: str
    path: Path
    screen: Photo = field(repr=False)
    size: tuple[int, int]
    notes: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        return Path(self.name).stem

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix


class Kept:
    """All photos of a page, whoever gave them. Safe to use from several threads."""

    def __init__(self, *, max_upload: int, max_pixels: int) -> None:
        self.max_upload, self.max_pixels = max_upload, max_pixels
        self.folder = Path(tempfile.mkdtemp(prefix="pcakd-ui-"))
        self._photos: OrderedDict[str, KeptPhoto] = OrderedDict()
        self._recent: OrderedDict[str, Photo] = OrderedDict()
        self._lock = Lock()

    def new_file(self) -> Path:
        """A path in the folder that nothing is at."""
        return self.folder / secrets.token_hex(16)

    def add(self, path: Path, name: str, place: str | None = None) -> KeptPhoto:
        """Take up a file of the folder as a photo; it is removed if it is none.

        name: what its giver calls it; place: where it lies for others, the name where it was uploaded. Raises
        PhotoError, UsageError.
        """
        name = file_name(name)
        try:
            data = path.read_bytes()
            self.check_size(len(data), name)
            photo = read_photo(data, name=name, max_pixels=self.max_pixels)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        notes = photo.notes
        if photo.frames:
            notes = (*notes, f"the first of its {len(photo.pages)} frames is shown")
        kept = KeptPhoto(
            id=secrets.token_urlsafe(16),
            name=name,
            place=place or name,
            path=path,
            screen=_writable(_for_screen(replace(photo, frames=()))),
            size=photo.size,
            notes=notes,
        )
        with self._lock:
            self._photos[kept.id] = kept
            self._remember(kept.id, photo)
            self._make_room()
        return kept

    def check_size(self, size: int, name: str) -> None:
        """Raise UsageError for a file that is larger than the limit."""
        if size > self.max_upload:
            raise UsageError(f"{name}: is larger than {shown_bytes(self.max_upload)}, which this page takes at most")

    def get(self, id: str) -> KeptPhoto:
        """The photo. Raises NotFoundError where it has gone."""
        with self._lock:
            if not isinstance(id, str) or id not in self._photos:
                raise NotFoundError("this photo is not here any more; choose it again")
            self._photos.move_to_end(id)
            return self._photos[id]

    def decoded(self, kept: KeptPhoto) -> Photo:
        """The photo as `read_photo` reads it: not to be written into."""
        with self._lock:
            if kept.id in self._recent:
                self._recent.move_to_end(kept.id)
                return self._recent[kept.id]
        photo = read_photo(self.data(kept), name=kept.name, max_pixels=self.max_pixels)
        with self._lock:
            self._remember(kept.id, photo)
        return photo

    def data(self, kept: KeptPhoto) -> bytes:
        """The file's content. Raises NotFoundError where it has gone."""
        try:
            return kept.path.read_bytes()
        except FileNotFoundError:
            raise NotFoundError(f"{kept.name}: is not here any more; choose it again") from None

    def close(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _remember(self, id: str, photo: Photo) -> None:
        self._recent[id] = photo
        while len(self._recent) > 1 and sum(map(_pixels, self._recent.values())) > RECENT_PIXELS:
            self._recent.popitem(last=False)
        if _pixels(photo) > RECENT_PIXELS:
            del self._recent[id]

    def _make_room(self) -> None:
        sizes = {path: path.stat().st_size for path in self.folder.iterdir()}
        while len(self._photos) > 1 and (len(self._photos) > KEPT_PHOTOS or sum(sizes.values()) > KEPT_BYTES):
            _, oldest = self._photos.popitem(last=False)
            self._recent.pop(oldest.id, None)
            oldest.path.unlink(missing_ok=True)
            sizes.pop(oldest.path, None)


def file_name(name: str) -> str:
    """A name without any folder or control character, not too long, its suffix kept."""
    last = re.split(r"[\\/]", name)[-1]
    last = "".join(c for c in last if c.isprintable()).strip().lstrip(".") or "photo"
    stem, dot, suffix = last.rpartition(".")
    if not dot or len(suffix) > 5:
        return last[:LONGEST_NAME]
    return f"{stem[:LONGEST_NAME]}.{suffix}"


def _for_screen(photo: Photo) -> Photo:
    """At most `SCREEN` pixels a side. Large plain photos are averaged first, to what is still half as large again: that
    takes half the time, and nobody sees it."""
    factor = max(photo.size) * 2 // (SCREEN * 3)
    if factor > 1 and photo.plain and photo.alpha is None:
        photo = replace(photo, rgb=np.asarray(Image.fromarray(photo.rgb).reduce(factor)))
    return to_longest_side(photo, SCREEN)


def _pixels(photo: Photo) -> int:
    return sum(page.rgb.size // 3 * page.rgb.itemsize for page in photo.pages)


def _writable(photo: Photo) -> Photo:
    """Pillow's arrays are read-only, which PyTorch warns of."""
    return photo if photo.rgb.flags.writeable else replace(photo, rgb=photo.rgb.copy())
