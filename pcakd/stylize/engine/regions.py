"""Masked regions: each is matched by itself to its own style, the rest as a whole."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from pcakd.stylize.engine.rows import PhotoRows, Rows
from pcakd.stylize.masks import Mask
from pcakd.stylize.style import Style
from pcakd.stylize.transforms import AffineMap

MIN_PIXELS = 1.0
"""Pixels of a level that a region must cover; a smaller one takes the whole photo's map there."""


def padded_weights(weights: Tensor, photo: PhotoRows) -> Tensor:
    """Weights 1×R×H×W of a photo, padded like it by repetition."""
    bottom, right = photo.height - weights.shape[2], photo.width - weights.shape[3]
    padded = F.pad(weights, (0, right, 0, bottom), mode="replicate") if bottom or right else weights
    return padded.to(photo.device, torch.float32)


class Regions:
    """Soft regions of one photo, and the style of each.

    weights: 1×R×H×W at the photo's own size.
    """

    def __init__(self, weights: Tensor, styles: list[Style], photo: PhotoRows) -> None:
        self._weights = padded_weights(weights, photo)
        self.styles = styles

    @classmethod
    def of(cls, mask: Mask | None, styles: Mapping[str, Style] | None, photo: PhotoRows) -> "Regions | None":
        """The regions of a mask that have a style; None if there are none."""
        if mask is None or not styles:
            return None
        shared = [i for i, label in enumerate(mask.labels) if label in styles]
        if not shared:
            return None
        return cls(mask.resized(*photo.size)[shared][None], [styles[mask.labels[i]] for i in shared], photo)

    def pooled(self, height: int, width: int) -> Tensor:
        """Weights averaged to a level's size, 1×R×height×width."""
        return F.adaptive_avg_pool2d(self._weights, (height, width))


class Matched:
    """Features with the whole photo's map, and in each region that region's own; float32."""

    dtype = torch.float32

    def __init__(self, source: Rows, whole: AffineMap, own: list[AffineMap], weights: Tensor) -> None:
        self.source, self.whole, self.weights = source, whole, weights
        covered = weights.sum((0, 2, 3)) >= MIN_PIXELS
        self.own = [m if enough else whole for m, enough in zip(own, covered.tolist(), strict=True)]
        self.height, self.width, self.channels = source.height, source.width, source.channels
        self.device = source.device

    def rows(self, start: int, stop: int) -> Tensor:
        x = self.source.rows(start, stop).float()
        weights = self.weights[:, :, start:stop]
        out = (1 - weights.sum(1, keepdim=True)).clamp_min_(0) * self.whole.apply(x)
        for region, own in enumerate(self.own):
            out += weights[:, region : region + 1] * own.apply(x)
        return out
