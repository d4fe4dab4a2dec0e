"""Whitening and colouring that gradients pass through, for training on transfers."""

from typing import Any

import torch
from torch import Tensor

from pcakd.stylize.transforms import REGULARISATION


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
