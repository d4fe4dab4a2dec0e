"""The guided filter on whole pictures, as the paper writes it: for any device, radius and dtype.

He, Sun & Tang, "Guided Image Filtering" (ECCV 2010), equations 14-16, colour guide. Written from the paper.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

RADIUS = 30
"""Half side of the window in pixels: 61×61."""

EPSILON = (0.02 * 255) ** 2
"""Regularisation, in squared grey levels (0..255): local contrast far below 5 levels is smoothed away."""


def box_mean(x: Tensor, radius: int) -> Tensor:
    """Mean over (2·radius+1)² windows of C×H×W, borders reflected (edge pixel repeated); same dtype.

    Running sums in float64: in float32 they lose the last digits over the length of a row.
    """
    for axis in (-2, -1):
        x = _box_mean_1d(x, radius, axis)
    return x


def _box_mean_1d(x: Tensor, radius: int, axis: int) -> Tensor:
    x = x.movedim(axis, -1)
    size = x.shape[-1]
    index = torch.arange(-radius, size + radius, device=x.device) % (2 * size)
    index = torch.where(index < size, index, 2 * size - 1 - index)
    sums = F.pad(x[..., index].double().cumsum(-1), (1, 0))
    window = 2 * radius + 1
    mean = (sums[..., window:] - sums[..., :-window]) / window
    return mean.to(x.dtype).movedim(-1, axis)


def guided_filter(guide: Tensor, source: Tensor, *, radius: int = RADIUS, epsilon: float = EPSILON) -> Tensor:
    """Filter `source` so that it is locally an affine function of `guide`.

    guide, source: float 3×H×W on 0..255 (the source may have any number of channels). Returns the
    source's shape, unclipped.
    """
    guide = guide - 128.0  # covariances of centred values keep their digits in float32
    mean_guide = box_mean(guide, radius)
    mean_source = box_mean(source, radius)
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    rr, rg, rb, gg, gb, bb = (
        box_mean(guide[i : i + 1] * guide[j : j + 1], radius)[0] - mean_guide[i] * mean_guide[j] for i, j in pairs
    )
    rr, gg, bb = rr + epsilon, gg + epsilon, bb + epsilon
    (i_rr, i_rg, i_rb, i_gg, i_gb, i_bb), determinant = adjugate(rr, rg, rb, gg, gb, bb)
    out = torch.empty_like(source)
    for c in range(source.shape[0]):
        # Covariance of each guide channel with this source channel.
        r, g, b = box_mean(guide * source[c : c + 1], radius) - mean_guide * mean_source[c]
        slope = torch.stack(
            [
                (i_rr * r + i_rg * g + i_rb * b) / determinant,
                (i_rg * r + i_gg * g + i_gb * b) / determinant,
                (i_rb * r + i_gb * g + i_bb * b) / determinant,
            ]
        )
        offset = mean_source[c] - (slope * mean_guide).sum(0)
        out[c] = (box_mean(slope, radius) * guide).sum(0) + box_mean(offset[None], radius)[0]
    return out


def adjugate(
    rr: Tensor, rg: Tensor, rb: Tensor, gg: Tensor, gb: Tensor, bb: Tensor
) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Of symmetric 3×3 matrices, one for each pixel, given by their upper triangles: those of what is the inverse once
    it is divided by the determinant, and the determinant."""
    i_rr, i_rg, i_rb = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    i_gg, i_gb, i_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    return (i_rr, i_rg, i_rb, i_gg, i_gb, i_bb), rr * i_rr + rg * i_rg + rb * i_rb
