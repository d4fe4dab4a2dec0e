"""Eigenbases of now against those of before: angles, and the variance that the older ones lose."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pcakd.eigenbases.pca import Moments, unexplained


def principal_angles(one: Tensor, other: Tensor) -> Tensor:
    """Angles between the spans of two bases C×k and C×m with orthonormal columns: min(k, m) of them, degrees, rising.

    By cosine and sine (Björck and Golub 1973), since a cosine near 1 does not tell small angles apart.
    """
    a, b = (torch.linalg.qr(basis.double())[0] for basis in (one, other))
    if a.shape[1] < b.shape[1]:
        a, b = b, a
    inner = a.T @ b
    _, cosines, turned = torch.linalg.svd(inner, full_matrices=False)
    vectors = b @ turned.T
    sines = (vectors - a @ (a.T @ vectors)).norm(dim=0)
    return torch.rad2deg(torch.atan2(sines, cosines)).sort().values


def compare_levels(
    bases: Sequence[Tensor],
    now: Sequence[Tensor],
    moments: Moments,
    *,
    new: Moments | None = None,
    older: Moments | None = None,
) -> list[dict[str, Any]]:
    """Level by level, bases of before against those of now.

    moments: of all photos of now; new: of those that came since; older: of those that the bases were fitted on.
    Of each level:

    angle, angle_mean    largest and mean principal angle, degrees
    lost                 share of the variance of now that the bases of before explain less than those of now
    explained_new        share of the new photos' variance that the bases of before explain; None without new photos
    explained_older      the same of the older photos; None where their moments are not kept
    foreign              explained_older - explained_new, 0 at least; None where either is
    """
    found: list[dict[str, Any]] = []
    for level, (before, after) in enumerate(zip(bases, now, strict=True)):
        angles = principal_angles(before, after)
        covariance = moments.covariance(level)
        explained = [
            1 - unexplained(some.covariance(level), before) if some is not None and some.photos else None
            for some in (new, older)
        ]
        explained_new, explained_older = explained
        both = explained_new is not None and explained_older is not None
        found.append(
            {
                "angle": float(angles[-1]),
                "angle_mean": float(angles.mean()),
                "lost": max(0.0, unexplained(covariance, before) - unexplained(covariance, after)),
                "explained_new": explained_new,
                "explained_older": explained_older,
                "foreign": max(0.0, explained_older - explained_new) if both else None,  # type: ignore[operator]
            }
        )
    return found


def comparable(bases: Sequence[Tensor], now: Sequence[Tensor]) -> bool:
    """Whether two sets of bases are of features of the same widths, and keep as many directions of them."""
    return [tuple(one.shape) for one in bases] == [tuple(one.shape) for one in now]


def worst(levels: Sequence[dict[str, Any]], name: str) -> float | None:
    """The largest value of a measure over all levels that have it."""
    values = [level[name] for level in levels if level[name] is not None and math.isfinite(level[name])]
    return max(values, default=None)


def aligned(bases: Sequence[Tensor], old: Sequence[Tensor]) -> list[Tensor]:
    """Bases with the same spans, turned within them to lie as near as they can to older ones (orthogonal Procrustes).

    A student speaks in the coordinates of its bases: one that learned the older ones goes on in these.
    """
    turned = []
    for new, before in zip(bases, old, strict=True):
        u, _, v = torch.linalg.svd(new.double().T @ before.double())
        turned.append((new.double() @ (u @ v)).float().contiguous())
    return turned
