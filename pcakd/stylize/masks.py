"""Masks: which regions of content and style exchange style.

A mask is a picture, in size independent of its photo. Its labels:

* few distinct values (palette, grey or colour picture, at most `MAX_LABELS` of them): every value is a label;
* a grey picture with more values is one soft region: 255 is inside, 0 outside, between is partly inside;
* a colour picture with more values: the colours that cover 1 % of it or more are the labels, and every other
  pixel (a soft border) belongs to them by closeness.

Black, and palette index 0, mean "no label". Labels are matched between the two masks by value.
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from pcakd.errors import UsageError
from pcakd.photos.images import PhotoSource, read_photo

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
    if isinstance(source, np.ndarray) and source.ndim == 2:
        if source.dtype != np.uint8:
            raise UsageError(f"{name or 'mask'}: a mask array is uint8, not {source.dtype}")
        return _from_grey(source)
    if isinstance(source, Image.Image) and source.mode == "P":
        return _from_grey(np.asarray(source))
    photo = read_photo(source, name=name)
    rgb = photo.rgb
    if (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all():
        return _from_grey(rgb[..., 0])
    return _from_colours(rgb)


def _from_grey(values: np.ndarray) -> Mask:
    found = np.unique(values)
    if len(found) > MAX_LABELS:
        return Mask(("255,255,255",), torch.from_numpy(values.astype(np.float32) / 255)[None])
    labels = [int(v) for v in found if v != 0]
    weights = np.stack([values == v for v in labels]) if labels else np.zeros((0, *values.shape))
    return Mask(tuple(f"{v},{v},{v}" for v in labels), torch.from_numpy(weights.astype(np.float32)))


def _from_colours(rgb: np.ndarray) -> Mask:
    flat = rgb.reshape(-1, 3)
    colours, index, counts = np.unique(flat, axis=0, return_inverse=True, return_counts=True)
    if len(colours) > MAX_LABELS:
        keep = counts >= _MIN_SHARE * len(flat)
        if not keep.any() or keep.sum() > MAX_LABELS:
            raise UsageError(
                f"mask has {len(colours)} colours and no {MAX_LABELS} or fewer that stand out; "
                "paint each region in one flat colour"
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
