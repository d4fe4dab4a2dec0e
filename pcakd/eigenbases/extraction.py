"""From photos to what eigenbases need of them: crops, teacher features, moments. One device, no cluster.

moments, left_out = accumulate(((key, rgb) for ...), teacher)
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np
import torch
from torch import Tensor

from pcakd.eigenbases.options import Extraction
from pcakd.eigenbases.pca import Moments
from pcakd.stylize.engine.precision import full_float32
from pcakd.teacher import Teacher

CONSTANT, TOO_SMALL = "constant-colour", "too-small"


@dataclass(frozen=True, kw_only=True)
class Crop:
    """Where a crop was cut: top and left corner and sides, in pixels of the stored photo."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, rgb: np.ndarray) -> np.ndarray:
        return rgb[self.top : self.top + self.height, self.left : self.left + self.width]


def crop_of(size: tuple[int, int], key: str, *, crop: int, multiple: int) -> Crop | None:
    """The crop of a photo of (height, width): sides `crop` or what there is, rounded down to `multiple`.

    Its place is drawn from a hash of the key: the same everywhere, and all parts of photos are seen.
    None for a photo smaller than two multiples.
    """
    sides = [(min(side, crop) if crop else side) // multiple * multiple for side in size]
    if min(sides) < 2 * multiple:
        return None
    draw = _draw(key)
    room_y, room_x = size[0] - sides[0] + 1, size[1] - sides[1] + 1
    return Crop(top=draw % room_y, left=draw // room_y % room_x, height=sides[0], width=sides[1])


def _draw(key: str) -> int:
    """A random-looking number of 64 bits that depends on the key alone."""
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()[:8])


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One photo, ready for the teacher."""

    key: str
    crop: Crop
    rgb: np.ndarray  # uint8 H×W×3


def cut_photos(
    photos: Iterable[tuple[str, np.ndarray]], extraction: Extraction, multiple: int, left_out: Counter[str]
) -> Iterator[Cut]:
    """Crops of photos (key, uint8 H×W×3); counts by reason those of constant colour and those too small."""
    for key, rgb in photos:
        crop = crop_of(rgb.shape[:2], key, crop=extraction.crop, multiple=multiple)
        if crop is None:
            left_out[TOO_SMALL] += 1
            continue
        part = crop.cut(rgb)
        if (part == part[0, 0]).all():
            # All its variance would come from what the teacher puts beyond the borders.
            left_out[CONSTANT] += 1
            continue
        yield Cut(key=key, crop=crop, rgb=part)


def to_tensor(rgbs: list[np.ndarray], device: torch.device) -> Tensor:
    """uint8 pictures H×W×3 of one size → N×3×H×W float32 in [0, 1]."""
    stacked = torch.from_numpy(np.ascontiguousarray(np.stack(rgbs))).to(device)
    return stacked.permute(0, 3, 1, 2).contiguous().float() / 255


@torch.no_grad()
def feature_batches(
    cuts: Iterable[Cut], teacher: Teacher, extraction: Extraction
) -> Iterator[tuple[list[Cut], list[Tensor]]]:
    """Cuts and their features of four levels, a batch of neighbours of one size at a time; full float32 on GPUs."""
    device = next(teacher.parameters()).device
    size = extraction.batch_on(device)
    for _, same_size in groupby(cuts, key=lambda cut: cut.rgb.shape):
        while batch := list(islice(same_size, size)):
            photos = to_tensor([cut.rgb for cut in batch], device)
            with full_float32():
                features = teacher.features(photos)
            yield batch, features


def accumulate(
    photos: Iterable[tuple[str, np.ndarray]], teacher: Teacher, extraction: Extraction | None = None
) -> tuple[Moments, Counter[str]]:
    """Moments, on the CPU, of photos (key, uint8 H×W×3), and how many were left out by reason."""
    extraction = extraction or Extraction()
    left_out: Counter[str] = Counter()
    moments = Moments.zeros(teacher.channels, device=next(teacher.parameters()).device)
    cuts = cut_photos(photos, extraction, teacher.multiple, left_out)
    for batch, features in feature_batches(cuts, teacher, extraction):
        moments.update(features, sample=[_draw(cut.key) % extraction.spectrum_every == 0 for cut in batch])
    return moments.cpu(), left_out
