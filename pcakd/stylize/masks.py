"""Masks: which regions of content and style exchange style.

A mask is a picture, in size independent of its photo. Its labels:

* few distinct colours (palette, grey or colour picture, at most `MAX_LABELS` of them): every one is a label;
* a grey picture with more values is one soft region: 255 is inside, 0 outside, between is partly inside;
* a colour picture with more values: the colours that cover 1 % of it or more are the labels, and every other
  pixel (a soft border) belongs to them by closeness.

Black, transparent parts, and palette index 0 mean "no label". Labels are matched between the two masks by colour. A
lossy picture (JPEG) whose noise would make labels of its own is refused.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from pcakd.errors import UsageError
from pcakd.photos.decode import open_image
from pcakd.photos.images import Photo, PhotoSource, read_photo
from pcakd.photos.png import without_damaged

MAX_LABELS = 16
_MIN_SHARE = 0.01


@dataclass(frozen=True)
class Mask:
    """Soft regions of one photo.

    labels:  one name a region, comparable between masks, e.g. "255,0,0".
    weights: float32 R×H×W in [0, 1], summing to at most 1 over regions; what is missing is unlabelled.
    """

    labels: tuple[str, ...]
    weights: Tensor

    def resized(self, height: int, width: int) -> Tensor:
        """Weights resampled to R×height×width by area averages (enlarged: bilinear)."""
        shrinks = height <= self.weights.shape[1] and width <= self.weights.shape[2]
        if shrinks:
            return F.interpolate(self.weights[None], size=(height, width), mode="area")[0]
        return F.interpolate(self.weights[None], size=(height, width), mode="bilinear", align_corners=False)[0]


def read_mask(source: PhotoSource, name: str | None = None) -> Mask:
    """Read a mask picture (path, bytes, PIL image, uint8 array H×W or H×W×3). Raises PhotoError, UsageError."""
    named = name or (str(source) if isinstance(source, str | os.PathLike) else "mask")
    mask = _read(source, named)
    if not mask.labels:
        raise UsageError(f"{named}: has no label: all of it is black or transparent; paint regions in flat colours")
    return mask


def _read(source: PhotoSource, named: str) -> Mask:
    if isinstance(source, np.ndarray) and source.ndim == 2:
        if source.dtype != np.uint8:
            raise UsageError(f"{named}: a mask array is uint8, not {source.dtype}")
        return _from_grey(source)
    photo = read_photo(source, name=named, convert_profile=False)
    rgb, lossy = photo.rgb8.copy(), photo.format in _LOSSY and not photo.lossless
    if (unlabelled := _unlabelled(source, photo)) is not None:
        rgb[unlabelled] = 0
    if (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all():
        mask = _from_grey(rgb[..., 0])
    else:
        mask = _from_colours(rgb, named, lossy)
    if lossy:
        _check_noise(mask, named)
    return mask


def _unlabelled(source: PhotoSource, photo: Photo) -> np.ndarray | None:
    """Where a picture says by transparency or palette index 0 that there is no label: bool H×W, None: nowhere."""
    found = None if photo.alpha is None else photo.alpha < (np.iinfo(photo.alpha.dtype).max + 1) // 2
    zero = None
    if isinstance(source, Image.Image):
        zero = _index_zero(source)
    elif photo.format in ("PNG", "GIF", "TIFF", "BMP"):
        if isinstance(source, bytes | bytearray | memoryview):
            zero = _index_zero(open_image(without_damaged(bytes(source))[0]))
        elif isinstance(source, str | os.PathLike):
            zero = _index_zero(open_image(without_damaged(Path(source).read_bytes())[0]))
    if found is None or zero is None:
        return zero if found is None else found
    return found | zero


def _index_zero(image: Image.Image) -> np.ndarray | None:
    return np.asarray(ImageOps.exif_transpose(image)) == 0 if image.mode == "P" else None


_LOSSY = ("JPEG", "WEBP", "AVIF")
_NOISE = 24.0
"""Two labels of a lossy picture that are nearer than this (Euclidean, grey levels) are one with noise."""


def _check_noise(mask: Mask, name: str) -> None:
    colours = [(0.0, 0.0, 0.0), *(tuple(float(value) for value in label.split(",")) for label in mask.labels)]
    for i, first in enumerate(colours):
        for second in colours[i + 1 :]:
            if sum((a - b) ** 2 for a, b in zip(first, second, strict=True)) < _NOISE**2:
                raise UsageError(
                    f"{name}: the noise of its lossy format makes labels of its own ({len(mask.labels)} labels); "
                    "save the mask as PNG"
                )


def check_shared(content: Mask, style_labels: Collection[str]) -> None:
    """Raise UsageError where a content's mask has no label in common with the style's."""
    if not set(content.labels) & set(style_labels):
        raise UsageError(
            f"the masks have no label in common: the content's has {_listed(content.labels)}, the style's "
            f"{_listed(sorted(style_labels))}; paint what belongs together in the same flat colour"
        )


def _listed(labels: Collection[str]) -> str:
    shown = [f"({label})" for label in list(labels)[:4]]
    return ", ".join(shown) + (f" and {len(labels) - 4} more" if len(labels) > 4 else "") if shown else "none"


def _from_grey(values: np.ndarray) -> Mask:
    found = np.unique(values)
    if len(found) > MAX_LABELS:
        return Mask(("255,255,255",), torch.from_numpy(values.astype(np.float32) / 255)[None])
    labels = [int(v) for v in found if v != 0]
    weights = np.stack([values == v for v in labels]) if labels else np.zeros((0, *values.shape))
    return Mask(tuple(f"{v},{v},{v}" for v in labels), torch.from_numpy(weights.astype(np.float32)))


def _from_colours(rgb: np.ndarray, name: str, lossy: bool) -> Mask:
    flat = rgb.reshape(-1, 3)
    colours, index, counts = np.unique(flat, axis=0, return_inverse=True, return_counts=True)
    if len(colours) > MAX_LABELS:
        keep = counts >= _MIN_SHARE * len(flat)
        if not keep.any() or keep.sum() > MAX_LABELS:
            raise UsageError(
                f"{name}: has {len(colours)} colours and no {MAX_LABELS} or fewer that stand out; "
                f"paint each region in one flat colour{', and save the mask as PNG' if lossy else ''}"
            )
        main = colours[keep].astype(np.float32)
    else:
        main = colours.astype(np.float32)
    distance = ((colours[:, None].astype(np.float32) - main[None]) ** 2).sum(-1)
    nearness = 1.0 / (distance + 1e-6)  # a label's own colour gets all but a millionth of its pixels
    share = nearness / nearness.sum(1, keepdims=True)
    weights = share[index.reshape(-1)].T.reshape(len(main), *rgb.shape[:2])
    kept = [i for i, colour in enumerate(main) if colour.any()]
    labels = tuple(",".join(str(int(v)) for v in main[i]) for i in kept)
    return Mask(labels, torch.from_numpy(np.ascontiguousarray(weights[kept], dtype=np.float32)))
