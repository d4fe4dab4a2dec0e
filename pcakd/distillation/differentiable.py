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


SMALLEST = 1e-3
"""Root of the smallest eigenvalue, as a share of the matrix's norm, for which `_products` are the quickest."""


@lru_cache(maxsize=1)
def _growths() -> list[float]:
    """Factors ρ of the steps of `roots_by_products`: the best for eigenvalues from SMALLEST² to 1 (Chen & Chow 2014),
    and ones at the end, where the iteration converges by itself."""
    found, low = [], SMALLEST
    while low < 0.999:
        rho = (3 / (1 + low + low * low)) ** 0.5
        found.append(rho)
        low = rho * low * (3 - rho * rho * low * low) / 2
    return [*found, 1.0, 1.0, 1.0, 1.0]


def roots_by_products(matrix: Tensor) -> Tensor:
    """A^½ of matrices …×C×C with positive eigenvalues, by Newton-Schulz steps in float64: products alone.

    A GPU decomposes small matrices one by one and makes the host wait; it multiplies them all at once.
    """
    work = matrix.double()
    eye = torch.eye(work.shape[-1], dtype=work.dtype, device=work.device)
    norm = work.square().sum((-2, -1), keepdim=True).sqrt()
    root, inverse = work / norm, eye.expand_as(work)
    for rho in _growths():
        step = (3 * rho / 2) * eye - (rho**3 / 2) * (inverse @ root)
        root, inverse = root @ step, step @ inverse
    return (root * norm.sqrt()).to(matrix.dtype)


class SymmetricRoot(torch.autograd.Function):
    """A^½ of symmetric positive definite matrices …×C×C: by eigendecomposition on a CPU, by products on a GPU.

    The gradient solves X·A^½ + A^½·X = G. In the eigenbasis that divides by sums of roots, so equal eigenvalues, where
    the gradient of the eigenvectors themselves has poles, do no harm. By products X is what stands beside A^½ in the
    root of [[A, G], [0, A]].
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        ctx.by_products = matrix.is_cuda
        if ctx.by_products:
            ctx.save_for_backward(matrix)
            return roots_by_products(matrix)
        # eigh raises on what is not a number; the loss should show it instead, on every worker.
        finite = torch.isfinite(matrix).all(-1, keepdim=True).all(-2, keepdim=True)
        values, vectors = torch.linalg.eigh(torch.where(finite, matrix, torch.eye(matrix.shape[-1]).to(matrix)))
        roots = values.clamp_min(1e-6).sqrt()
        ctx.save_for_backward(roots, vectors)
        return torch.where(finite, (vectors * roots[..., None, :]) @ vectors.mT, torch.nan)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = (gradients[0] + gradients[0].mT) / 2
        if ctx.by_products:
            return lyapunov_by_products(ctx.saved_tensors[0], gradient)
        roots, vectors = ctx.saved_tensors
        inner = vectors.mT @ gradient @ vectors / (roots[..., :, None] + roots[..., None, :])
        return vectors @ inner @ vectors.mT


def lyapunov_by_products(matrix: Tensor, gradient: Tensor) -> Tensor:
    """X with X·A^½ + A^½·X = G, for A and G symmetric …×C×C, A positive definite."""
    # The gradient is brought to A's size, for the iteration's sake: X is linear in it.
    size = gradient.abs().amax((-2, -1), keepdim=True).clamp_min(torch.finfo(gradient.dtype).tiny)
    share = matrix.abs().amax((-2, -1), keepdim=True) / size
    above = torch.cat([matrix, gradient * share], -1)
    below = torch.cat([torch.zeros_like(matrix), matrix], -1)
    whole = roots_by_products(torch.cat([above, below], -2).double())
    width = matrix.shape[-1]
    return (whole[..., :width, width:] / share).to(matrix.dtype)


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
        # Both are symmetric: (whiten⁻¹ · colour)ᵀ = colour · whiten⁻¹. Without a check, for which a GPU would be
        # waited for: `whiten` is positive definite, or not a number, which the loss shows.
        matched = torch.linalg.solve_ex(whiten, colour)[0].mT @ flat + mean
        return matched.unflatten(2, (x.shape[2], x.shape[3]))


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
    """(Σ + ridge·I)⁻¹ of symmetric matrices N×3×3×H×W, one for each pixel, by the adjugate."""
    rr, rg, rb, gg, gb, bb = (
        covariance[:, i, j] + ridge * (i == j) for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    )
    i_rr, i_rg, i_rb = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    i_gg, i_gb, i_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    determinant = rr * i_rr + rg * i_rg + rb * i_rb
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
