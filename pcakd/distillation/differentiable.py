"""What a stylization and its measures are made of, gradients passing through: guided filter, SSIM, style loss."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from pcakd.distillation.colouring import channel_products
from pcakd.stylize.smoothing import EPSILON, RADIUS, adjugate

LUMA = (0.2125, 0.7154, 0.0721)
"""Weights of red, green and blue in luminance, as `pcakd.evaluation` has them."""
SSIM_WINDOW = 7


@lru_cache(maxsize=16)
def _box(size: int, radius: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The mean over 2·radius+1 neighbours as a matrix size×size, borders reflected (edge pixel repeated)."""
    index = torch.arange(size)[:, None] + torch.arange(-radius, radius + 1)
    index = index % (2 * size)
    index = torch.where(index < size, index, 2 * size - 1 - index)
    box = torch.zeros(size, size).scatter_add_(1, index, torch.ones(index.shape)) / (2 * radius + 1)
    return box.to(device, dtype)


@lru_cache(maxsize=16)
def _luma(device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(LUMA)[:, None, None].to(device, dtype)


def guided(source: Tensor, guide: Tensor) -> Tensor:
    """The guided filter of `pcakd.stylize` for small pictures: source and guide N×3×H×W in [0, 1], at least fp32.

    Gradients flow into the source alone, in which the filter is linear; it is neither rounded nor clipped.
    """
    rows, columns = (_box(side, RADIUS, source.device, source.dtype) for side in guide.shape[2:])

    def mean(x: Tensor) -> Tensor:
        return rows @ x @ columns.T

    with torch.no_grad():
        guide = guide.to(source) - 0.5
        average = mean(guide)
        products = (guide[:, :, None] * guide[:, None]).flatten(1, 2)
        covariance = mean(products).unflatten(1, (3, 3)) - average[:, :, None] * average[:, None]
        inverse = _inverse(covariance, EPSILON / 255**2)  # N×3×3×H×W
    mean_source = mean(source)
    cross = mean((guide[:, :, None] * source[:, None]).flatten(1, 2)).unflatten(1, (3, 3))
    cross = cross - average[:, :, None] * mean_source[:, None]  # guide's channels by the source's
    slope = (inverse[:, :, :, None] * cross[:, None]).sum(2)
    offset = mean_source - (slope * average[:, :, None]).sum(1)
    return (mean(slope.flatten(1, 2)).unflatten(1, (3, 3)) * guide[:, :, None]).sum(1) + mean(offset)


def _inverse(covariance: Tensor, ridge: float) -> Tensor:
    """(Σ + ridge·I)⁻¹ of symmetric matrices N×3×3×H×W, one for each pixel."""
    rr, rg, rb, gg, gb, bb = (
        covariance[:, i, j] + ridge * (i == j) for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    )
    (i_rr, i_rg, i_rb, i_gg, i_gb, i_bb), determinant = adjugate(rr, rg, rb, gg, gb, bb)
    whole = torch.stack([i_rr, i_rg, i_rb, i_rg, i_gg, i_gb, i_rb, i_gb, i_bb], 1) / determinant[:, None]
    return whole.unflatten(1, (3, 3))


def luminance_ssim(picture: Tensor, other: Tensor) -> Tensor:
    """Mean SSIM of the luminance of pictures N×3×H×W in [0, 1], 7×7 windows inside the picture."""
    weights = _luma(picture.device, picture.dtype)
    a, b = ((x * weights).sum(1, keepdim=True) for x in (picture, other.to(picture)))

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, SSIM_WINDOW, stride=1)

    unbiased = SSIM_WINDOW**2 / (SSIM_WINDOW**2 - 1)
    ma, mb = mean(a), mean(b)
    va, vb, ab = ((mean(x * y) - m) * unbiased for x, y, m in ((a, a, ma * ma), (b, b, mb * mb), (a, b, ma * mb)))
    one, two = 0.01**2, 0.03**2
    return ((2 * ma * mb + one) * (2 * ab + two) / ((ma * ma + mb * mb + one) * (va + vb + two))).mean()


def gram(features: Tensor) -> Tensor:
    """F·Fᵀ ÷ pixels of features N×C×H×W: N×C×C in fp32, multiplied in the features' own precision."""
    if features.is_cuda:
        return channel_products(features.flatten(2)).float() / features[0, 0].numel()
    flat = features.permute(0, 2, 3, 1).flatten(1, 2)
    return (flat.mT @ flat).float() / flat.shape[1]


def style_loss(result: Sequence[Tensor], style: Sequence[Tensor]) -> Tensor:
    """Gram loss of `pcakd.evaluation` between two photos' features: mean over levels and photos.

    Level by level N×C×H×W; squared distance over the style's own squared norm. The style has no gradient.
    """
    losses = []
    for ours, theirs in zip(result, style, strict=True):
        wanted = gram(theirs.detach())
        error = (gram(ours) - wanted).square().sum((1, 2))
        losses.append((error / wanted.square().sum((1, 2)).clamp_min(1e-12)).mean())
    return torch.stack(losses).mean()
