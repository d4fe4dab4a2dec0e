"""Means and covariances of features that arrive strip by strip, merged without loss (Chan, Golub & LeVeque 1979)."""

from typing import NamedTuple

import torch
from torch import Tensor

from pcakd.stylize.transforms import Statistics

CHUNK = 1 << 16
"""Pixels of one float32 product; products are summed in float64."""


class PixelMoments(NamedTuple):
    """Of some pixels: their (weighted) number, mean (C) and scatter Σ w (x - mean)(x - mean)ᵀ (C×C); float64, CPU."""

    total: float
    mean: Tensor
    scatter: Tensor

    def __add__(self, other: "PixelMoments") -> "PixelMoments":  # type: ignore[override]
        """Moments of both sets of pixels together."""
        total = self.total + other.total
        if total == 0:
            return self
        step = other.mean - self.mean
        share = other.total / total
        scatter = self.scatter + other.scatter + torch.outer(step, step) * (self.total * share)
        return PixelMoments(total, self.mean + step * share, scatter)

    def statistics(self) -> Statistics:
        """Mean and covariance ÷ total."""
        covariance = self.scatter / self.total
        return Statistics(self.mean, (covariance + covariance.T) / 2)


def moments(x: Tensor, weight: Tensor | None = None) -> PixelMoments:
    """Moments of features 1×C×h×W, channels last; weight: 1×1×h×W, 0 or more."""
    flat = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])  # (M, C)
    weights = None if weight is None else weight.reshape(-1, 1)
    parts = [
        _chunk_moments(flat[i : i + CHUNK], None if weights is None else weights[i : i + CHUNK])
        for i in range(0, len(flat), CHUNK)
    ]
    return sum_moments(parts)


def sum_moments(parts: list[PixelMoments]) -> PixelMoments:
    """Moments of all parts together, added in order."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _chunk_moments(x: Tensor, weight: Tensor | None) -> PixelMoments:
    # Centred by the chunk's own mean: the digits of the covariance depend on it.
    x = x.float()
    if weight is None:
        mean = x.mean(0)
        centred = x - mean
        return PixelMoments(float(len(x)), mean.double().cpu(), (centred.T @ centred).double().cpu())
    weight = weight.float()
    total = float(weight.double().sum())
    mean = (x * weight).sum(0) / max(total, 1e-30)
    centred = x - mean
    scatter = (centred * weight).T @ centred
    return PixelMoments(total, mean.double().cpu(), scatter.double().cpu())
