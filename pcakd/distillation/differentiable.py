"""The whole stylization, gradients passing through: whitening and colouring, guided filter, SSIM, style loss."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pcakd.stylize.smoothing import EPSILON, RADIUS
from pcakd.stylize.transforms import REGULARISATION

LUMA = (0.2125, 0.7154, 0.0721)
"""Weights of red, green and blue in luminance, as `pcakd.evaluation` has them."""
SSIM_WINDOW = 7


class SymmetricRoot(torch.autograd.Function):
    """A^½ of symmetric positive definite matrices …×C×C.

    The gradient solves X·A^½ + A^½·X = G in the eigenbasis: it divides by sums of roots, so equal eigenvalues, where
    the gradient of the eigenvectors themselves has poles, do no harm.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        # eigh raises on what is not a number; the loss should show it instead, on every worker.
        finite = torch.isfinite(matrix).all(-1, keepdim=True).all(-2, keepdim=True)
        values, vectors = torch.linalg.eigh(torch.where(finite, matrix, torch.eye(matrix.shape[-1]).to(matrix)))
        roots = values.clamp_min(1e-6).sqrt()
        ctx.save_for_backward(roots, vectors)
        return torch.where(finite, (vectors * roots[..., None, :]) @ vectors.mT, torch.nan)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        roots, vectors = ctx.saved_tensors
        gradient = (gradients[0] + gradients[0].mT) / 2
        inner = vectors.mT @ gradient @ vectors / (roots[..., :, None] + roots[..., None, :])
        return vectors @ inner @ vectors.mT


def match_statistics(x: Tensor, style: Tensor) -> Tensor:
    """Features x N×C×H×W with the means and covariances of `style` N×C×H'×W', photo by photo; at least fp32.

    ZCA as in `pcakd.stylize.transforms`, same regularisation; gradients flow into x, through its statistics too.
    """
    with torch.autocast(x.device.type, enabled=False):
        x = x.float() if x.dtype == torch.bfloat16 else x
        flat, goal = x.flatten(2), style.detach().to(x.dtype).flatten(2)
        flat, mean = flat - flat.mean(2, keepdim=True), goal.mean(2, keepdim=True)
        goal = goal - mean
        ridge = REGULARISATION * torch.eye(x.shape[1], device=x.device, dtype=x.dtype)
        whiten = SymmetricRoot.apply(flat @ flat.mT / flat.shape[2] + ridge)
        colour = SymmetricRoot.apply(goal @ goal.mT / goal.shape[2] + ridge)
        matched = colour @ torch.linalg.solve(whiten, flat) + mean
        return matched.unflatten(2, (x.shape[2], x.shape[3]))


@lru_cache(maxsize=8)
def _box(size: int, radius: int) -> Tensor:
    """The mean over 2·radius+1 neighbours as a matrix size×size, borders reflected (edge pixel repeated)."""
    index = torch.arange(size)[:, None] + torch.arange(-radius, radius + 1)
    index = index % (2 * size)
    index = torch.where(index < size, index, 2 * size - 1 - index)
    return torch.zeros(size, size).scatter_add_(1, index, torch.ones(index.shape)) / (2 * radius + 1)


def guided(source: Tensor, guide: Tensor) -> Tensor:
    """The guided filter of `pcakd.stylize` for small pictures: source and guide N×3×H×W in [0, 1], at least fp32.

    Gradients flow into the source alone, in which the filter is linear; it is neither rounded nor clipped.
    """
    rows, columns = _box(guide.shape[2], RADIUS).to(source), _box(guide.shape[3], RADIUS).to(source)

    def mean(x: Tensor) -> Tensor:
        return rows @ x @ columns.T

    with torch.no_grad():
        guide = guide.to(source) - 0.5
        average = mean(guide)
        products = (guide[:, :, None] * guide[:, None]).flatten(1, 2)
        covariance = mean(products).unflatten(1, (3, 3)) - average[:, :, None] * average[:, None]
        covariance = covariance.permute(0, 3, 4, 1, 2) + EPSILON / 255**2 * torch.eye(3).to(source)
        inverse = torch.linalg.inv(covariance)  # N×H×W×3×3
    mean_source = mean(source)
    cross = mean((guide[:, :, None] * source[:, None]).flatten(1, 2)).unflatten(1, (3, 3))
    cross = cross - average[:, :, None] * mean_source[:, None]  # guide's channels by the source's
    slope = torch.einsum("nhwij,njchw->nichw", inverse, cross)
    offset = mean_source - (slope * average[:, :, None]).sum(1)
    return (mean(slope.flatten(1, 2)).unflatten(1, (3, 3)) * guide[:, :, None]).sum(1) + mean(offset)


def luminance_ssim(picture: Tensor, other: Tensor) -> Tensor:
    """Mean SSIM of the luminance of pictures N×3×H×W in [0, 1], 7×7 windows inside the picture."""
    weights = torch.tensor(LUMA).to(picture)[:, None, None]
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
