"""Training crops as a pure function of seed and step: any step can be had at once, on any number of workers.

Photos come from a `PhotoSet`: a folder, shards, or arrays. A worker asks for its rows of step i's batch; which
photos, crops and flips those are depends on the seed, the step and the row alone. So a resumed run sees what it would
have seen, and two workers see together what one would.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pcakd.errors import PhotoError, UsageError
from pcakd.photos.images import FORMATS, read_photo

BLOCK = 2048
"""Photos that are shuffled together: blocks first, then photos within a block, so that shards are read nearly in
order."""


class PhotoSet(Protocol):
    """Photos that can be had by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray:
        """uint8 H×W×3 RGB."""
        ...

    @property
    def digest(self) -> str:
        """Identity of the photos, SHA-256 hex."""
        ...


class FolderPhotos:
    """All photos of a local folder and those below it, in the order of their names; decoded when asked for."""

    def __init__(self, folder: str | Path) -> None:
        self.paths = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in FORMATS)
        if not self.paths:
            raise UsageError(f"{folder}: has no photos ({', '.join(FORMATS)})")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        return read_photo(self.paths[index]).rgb8

    @property
    def digest(self) -> str:
        """SHA-256 over the photos' bytes, in order."""
        total = hashlib.sha256()
        for path in self.paths:
            total.update(hashlib.sha256(path.read_bytes()).digest())
        return total.hexdigest()


class Cached:
    """A photo set that keeps what was decoded last, up to `megabytes`."""

    def __init__(self, photos: PhotoSet, megabytes: int = 1024) -> None:
        self.photos = photos
        self.left = megabytes * 1_000_000
        self.kept: OrderedDict[int, np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> np.ndarray:
        if index in self.kept:
            self.kept.move_to_end(index)
            return self.kept[index]
        photo = self.photos[index]
        self.kept[index] = photo
        self.left -= photo.nbytes
        while self.left < 0 and len(self.kept) > 1:
            self.left += self.kept.popitem(last=False)[1].nbytes
        return photo

    @property
    def digest(self) -> str:
        return self.photos.digest


@dataclass(frozen=True, kw_only=True)
class Crops:
    """Square crops of a photo set."""

    photos: PhotoSet
    """Where they are cut from; photos smaller than a crop are enlarged by repeating their borders."""
    size: int
    """Side, pixels."""
    seed: int
    """Decides order, places and flips."""
    flip: float = 0.5
    """Probability of a mirror image."""

    def batch(self, step: int, rows: Sequence[int], batch: int) -> Tensor:
        """Rows of step `step`'s batch: len(rows)×3×S×S float in [0, 1]. batch: rows that the whole step has."""
        return as_floats(self.batch8(step, rows, batch))

    def batch8(self, step: int, rows: Sequence[int], batch: int) -> Tensor:
        """The same as they were decoded: uint8 len(rows)×S×S×3, a quarter of the bytes."""
        return torch.from_numpy(np.stack([self._crop8(step * batch + row) for row in rows]))

    def crop(self, number: int) -> Tensor:
        """The crop of that number since the start of training: 3×S×S float in [0, 1].

        A photo that cannot be read is replaced by the next one of the epoch.
        """
        return as_floats(torch.from_numpy(np.stack([self._crop8(number)])))[0]

    def ends8(self, step: int, rows: Sequence[int], batch: int) -> tuple[Tensor, Tensor]:
        """Crops as `batch8` gives them, but from one end of the longer side of their photos, and those from the
        other end: uint8 len(rows)×S×S×3 each. In a photo of twice a crop's length they have nothing in common."""
        both = [self._ends8(step * batch + row) for row in rows]
        one, other = (torch.from_numpy(np.stack([pair[i] for pair in both])) for i in (0, 1))
        return one, other

    def _crop8(self, number: int) -> np.ndarray:
        return self._cut(self._photo(number), np.random.default_rng((self.seed, 1, number)))

    def _ends8(self, number: int) -> list[np.ndarray]:
        photo, rng = self._photo(number), np.random.default_rng((self.seed, 3, number))
        room = [max(side - self.size, 0) for side in photo.shape[:2]]
        longer = int(room[1] >= room[0])
        ends, flip = rng.permutation([0, room[longer]]), rng.random() < self.flip
        places = []
        for end in ends:
            place = [int(rng.integers(left + 1)) for left in room]
            place[longer] = int(end)
            places.append(place)
        return [self._at(photo, y0, x0, flip) for y0, x0 in places]

    def _photo(self, number: int) -> np.ndarray:
        """The photo that a crop is cut from; one that cannot be read is replaced by the next one of the epoch."""
        count = len(self.photos)
        epoch, place = divmod(number, count)
        order = _order(self.seed, epoch, count)
        for i in range(min(count, 100)):
            try:
                return self.photos[int(order[(place + i) % count])]
            except PhotoError:
                continue
        raise UsageError("a hundred photos in a row cannot be read: is this a photo set?")

    def _cut(self, photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        y0 = int(rng.integers(max(photo.shape[0] - self.size, 0) + 1))
        x0 = int(rng.integers(max(photo.shape[1] - self.size, 0) + 1))
        return self._at(photo, y0, x0, rng.random() < self.flip)

    def _at(self, photo: np.ndarray, y0: int, x0: int, flip: bool) -> np.ndarray:
        crop = photo[y0 : y0 + self.size, x0 : x0 + self.size]
        if flip:
            crop = crop[:, ::-1]
        below, right = self.size - crop.shape[0], self.size - crop.shape[1]
        return np.pad(crop, ((0, below), (0, right), (0, 0)), mode="edge") if below or right else crop

    def sample(self, count: int) -> Tensor:
        """Crops N×3×S×S of photos spread over the whole set: for statistics, always the same ones."""
        picks = np.linspace(0, len(self.photos) - 1, min(count, len(self.photos))).astype(int)
        crops = [self._cut(self.photos[int(i)], np.random.default_rng((self.seed, 2, int(i)))) for i in picks]
        return as_floats(torch.from_numpy(np.stack(crops))).contiguous()


def as_floats(photos: Tensor) -> Tensor:
    """uint8 N×H×W×3, on any device, as float N×3×H×W in [0, 1]; channels stay last in memory."""
    return photos.permute(0, 3, 1, 2).float() / 255


_ORDERS: OrderedDict[tuple[int, int, int], np.ndarray] = OrderedDict()


def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    """A permutation of `count` photos, shuffled by block."""
    key = (seed, epoch, count)
    if key not in _ORDERS:
        rng = np.random.default_rng((seed, 0, epoch))
        starts = rng.permutation(np.arange(0, count, BLOCK))
        blocks = [start + rng.permutation(min(BLOCK, count - start)) for start in starts]
        _ORDERS[key] = np.concatenate(blocks)
        if len(_ORDERS) > 4:
            _ORDERS.popitem(last=False)
    return _ORDERS[key]
