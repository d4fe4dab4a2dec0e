"""Whitening and colouring (ZCA) of features, gradients passing through the statistics of what is whitened.

Roots of covariances come from their eigenvectors on a CPU. A GPU decomposes small matrices one by one and makes the
host wait for each; it multiplies them all at once, so that there the roots are taken by products alone.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pcakd.stylize.transforms import REGULARISATION

SMALLEST = 1e-3
"""Root of the smallest eigenvalue, as a share of the matrix's norm, for which products converge the soonest."""


TOGETHER = 1024
"""Positions that are summed at once on a GPU."""


class Colouring(NamedTuple):
    """What features are coloured with, photo by photo."""

    mean: Tensor  # N×C×1
    root: Tensor  # N×C×C, of the covariance


@torch.no_grad()
def colourings(features: Sequence[Tensor]) -> list[Colouring]:
    """Of each level's features N×C×H×W; at least fp32, without gradients."""
    with torch.autocast(features[0].device.type, enabled=False):
        moments = [_moments(x.float() if x.dtype == torch.bfloat16 else x) for x in features]
        covariances = [covariance for _, _, covariance in moments]
        if not covariances[0].is_cuda:
            roots = [_eigen_roots(covariance)[0] for covariance in covariances]
        else:
            # All levels' at once, as blocks of matrices of the widest's size.
            widest, count = max(c.shape[-1] for c in covariances), len(covariances[0])
            blocks = torch.eye(widest, dtype=torch.float64, device=covariances[0].device).repeat(
                len(covariances), count, 1, 1
            )
            for block, covariance in zip(blocks, covariances, strict=True):
                block[:, : covariance.shape[-1], : covariance.shape[-1]] = covariance
            whole = product_roots(blocks)[0]
            roots = [root[:, : c.shape[-1], : c.shape[-1]].to(c) for root, c in zip(whole, covariances, strict=True)]
    return [Colouring(mean, root) for (mean, _, _), root in zip(moments, roots, strict=True)]


def match_statistics(x: Tensor, style: Colouring) -> Tensor:
    """Features x N×C×H×W with a style's means and covariances, photo by photo; at least fp32.

    ZCA as in `pcakd.stylize.transforms`, same regularisation; gradients flow into x, through its statistics too.
    """
    with torch.autocast(x.device.type, enabled=False):
        _, flat, covariance = _moments(x.float() if x.dtype == torch.bfloat16 else x)
        matched = style.root @ InverseRoot.apply(covariance) @ flat + style.mean
        return matched.unflatten(2, (x.shape[2], x.shape[3]))


def _moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means N×C×1, centred features N×C×HW, and regularised covariances N×C×C."""
    flat = x.flatten(2)
    mean = flat.mean(2, keepdim=True)
    flat = flat - mean
    ridge = REGULARISATION * torch.eye(x.shape[1], device=x.device, dtype=x.dtype)
    return mean, flat, channel_products(flat) / flat.shape[2] + ridge


def channel_products(flat: Tensor) -> Tensor:
    """F·Fᵀ of features N×C×P: N×C×C."""
    count, channels, positions = flat.shape
    if not flat.is_cuda or positions % TOGETHER:
        return flat @ flat.mT
    # A GPU gives one sum over many positions to few of its processors; several go to all of them.
    several = flat.unflatten(2, (-1, TOGETHER)).transpose(1, 2).reshape(-1, channels, TOGETHER)
    return (several @ several.mT).view(count, -1, channels, channels).sum(1)


class InverseRoot(torch.autograd.Function):
    """A^-½ of symmetric positive definite matrices …×C×C.

    The root's own gradient solves X·A^½ + A^½·X = G. In the eigenbasis that divides by sums of roots, so equal
    eigenvalues, where the gradient of the eigenvectors themselves has poles, do no harm. By products X is what stands
    beside A^½ in the root of [[A, G], [0, A]].
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        ctx.by_products = matrix.is_cuda
        if ctx.by_products:
            inverse = product_roots(matrix)[1].to(matrix.dtype)
            ctx.save_for_backward(matrix, inverse)
            return inverse
        _, inverse, roots, vectors = _eigen_roots(matrix)
        ctx.save_for_backward(roots, vectors)
        return inverse

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = (gradients[0] + gradients[0].mT) / 2
        if ctx.by_products:
            matrix, inverse = ctx.saved_tensors
            return product_lyapunov(matrix, -(inverse @ gradient @ inverse))
        roots, vectors = ctx.saved_tensors
        down, across = roots[..., :, None], roots[..., None, :]
        inner = -(vectors.mT @ gradient @ vectors) / (down * across * (down + across))
        return vectors @ inner @ vectors.mT


def _eigen_roots(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A^½, A^-½, the roots of the eigenvalues, and the eigenvectors."""
    # eigh raises on what is not a number; the loss should show it instead, on every worker.
    finite = torch.isfinite(matrix).all(-1, keepdim=True).all(-2, keepdim=True)
    values, vectors = torch.linalg.eigh(torch.where(finite, matrix, torch.eye(matrix.shape[-1]).to(matrix)))
    roots = values.clamp_min(1e-6).sqrt()
    root = torch.where(finite, (vectors * roots[..., None, :]) @ vectors.mT, torch.nan)
    inverse = torch.where(finite, (vectors / roots[..., None, :]) @ vectors.mT, torch.nan)
    return root, inverse, roots, vectors


@lru_cache(maxsize=1)
def _growths() -> list[float]:
    """Factors ρ of the steps of `product_roots`: the best for eigenvalues from SMALLEST² to 1 (Chen & Chow 2014), and
    ones at the end, where the iteration converges by itself."""
    found, low = [], SMALLEST
    while low < 0.999:
        rho = (3 / (1 + low + low * low)) ** 0.5
        found.append(rho)
        low = rho * low * (3 - rho * rho * low * low) / 2
    return [*found, 1.0, 1.0, 1.0]


def product_roots(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """A^½ and A^-½ of matrices …×C×C with positive eigenvalues, in float64, by scaled Newton-Schulz steps."""
    shape = matrix.shape
    work = matrix.double().flatten(0, -3)
    norm = work.square().sum((-2, -1), keepdim=True).sqrt()
    root = work / norm
    eye = torch.eye(shape[-1], dtype=work.dtype, device=work.device).expand_as(work)
    inverse = eye
    for rho in _growths():
        step = torch.baddbmm(eye, inverse, root, beta=3 * rho / 2, alpha=-(rho**3) / 2)
        root, inverse = torch.bmm(root, step), torch.bmm(step, inverse)
    return (root * norm.sqrt()).view(shape), (inverse / norm.sqrt()).view(shape)


def product_lyapunov(matrix: Tensor, gradient: Tensor) -> Tensor:
    """X with X·A^½ + A^½·X = G, for A and G symmetric N×C×C, A positive definite."""
    # The gradient is brought to A's size, for the iteration's sake: X is linear in it.
    size = gradient.abs().amax((-2, -1), keepdim=True).clamp_min(torch.finfo(gradient.dtype).tiny).double()
    share = matrix.abs().amax((-2, -1), keepdim=True) / size
    above = torch.cat([matrix.double(), gradient * share], -1)
    below = torch.cat([torch.zeros_like(matrix), matrix], -1).double()
    whole, width = product_roots(torch.cat([above, below], -2))[0], matrix.shape[-1]
    return (whole[..., :width, width:] / share).to(matrix.dtype)
