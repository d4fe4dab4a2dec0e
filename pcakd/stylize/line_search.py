"""LS-FT: features take a style's covariance by exact line searches along the style loss's gradient.

Chiu & Gurari, "Line Search-Based Feature Transformation for Fast, Stable, and Tunable Content-Style Control in
Photorealistic Style Transfer", WACV 2023 (arXiv 2210.05996). For centred features F with covariance Σ (÷ N) and a
style's Σs, the gradient of ‖Σ - Σs‖² is a multiple of D·F, D = Σ - Σs. A step F ← (I - ηD)·F leaves the map linear; the
loss along it is a quartic in η, and the best η a root of a cubic, in closed form: no eigenvectors, nothing but products
of C×C matrices. A content term, `weight`·η²·‖D·F‖²·‖F‖² (÷ N²), holds features where they are.
"""

import math

import torch
from torch import Tensor

STEPS = 3
"""Line searches a level; each begins where the last one ended."""


def line_search_matrix(content: Tensor, style: Tensor, *, weight: float = 0.0, steps: int = STEPS) -> Tensor:
    """The C×C matrix T that brings the covariance T·content·Tᵀ near `style`; float64 C×C covariances.

    weight: of the content term, 0 (style alone) or more; infinity gives the identity.
    """
    matrix = torch.eye(len(content), dtype=torch.float64)
    if math.isinf(weight):
        return matrix
    # All in units of the features' variance, which differs by a thousand from level to level.
    unit = max(float(content.trace()), float(style.trace()), 1e-300)
    content, style = content.double() / unit, style.double() / unit
    for _ in range(steps):
        covariance = matrix @ content @ matrix.T
        difference = covariance - style
        eta = best_step(quartic(covariance, difference, weight))
        if eta == 0:
            break
        matrix = matrix - eta * difference @ matrix
    return matrix


def quartic(covariance: Tensor, difference: Tensor, weight: float) -> tuple[float, float, float, float]:
    """Coefficients of η, η², η³, η⁴ of what a step of size η adds to style loss and content term."""
    turned = difference @ covariance
    slope, bend = -(turned + turned.T), turned @ difference
    ra, aa, rb = _dot(difference, slope), _dot(slope, slope), _dot(difference, bend)
    held = weight * float(bend.trace()) * float(covariance.trace())
    return 2 * ra, aa + 2 * rb + held, 2 * _dot(slope, bend), _dot(bend, bend)


def best_step(coefficients: tuple[float, float, float, float]) -> float:
    """The η ≥ 0 that makes c₁η + c₂η² + c₃η³ + c₄η⁴ (c₄ ≥ 0) least; 0 where no step gains anything."""
    c1, c2, c3, c4 = coefficients
    candidates = [eta for eta in cubic_roots(4 * c4, 3 * c3, 2 * c2, c1) if eta > 0]

    def gain(eta: float) -> float:
        return eta * (c1 + eta * (c2 + eta * (c3 + eta * c4)))

    best = min(candidates, key=gain, default=0.0)
    return best if gain(best) < 0 else 0.0


def cubic_roots(a: float, b: float, c: float, d: float) -> list[float]:
    """The real roots of a·x³ + b·x² + c·x + d, multiple ones at least once; none for a constant.

    Cardano's formula, and Viète's where it would need complex numbers; one Newton step mends rounding.
    """
    largest = max(abs(a), abs(b), abs(c), abs(d))
    if largest == 0:
        return []
    if abs(a) <= 1e-14 * largest:
        return _quadratic_roots(b, c, d, largest)
    b, c, d = b / a, c / a, d / a
    shift = b / 3
    p, q = c - b * shift, 2 * shift**3 - shift * c + d  # t³ + p·t + q, x = t - shift
    scale = max(math.sqrt(abs(p)), math.cbrt(abs(q)))
    if scale == 0:
        return [-shift]
    # In units of the roots' size: neither cubes nor squares of small numbers underflow.
    p, q = p / scale / scale, q / scale / scale / scale
    discriminant = (q / 2) ** 2 + (p / 3) ** 3
    if discriminant > 1e-14 * (q / 2) ** 2:  # below that a double root, which Viète's formula gives, too
        root = math.sqrt(discriminant)
        # The sum of like signs loses no digits; the other cube root follows from their product.
        u = math.cbrt(-q / 2 - math.copysign(root, q))
        found = [u - p / (3 * u)]
    else:
        radius = 2 * math.sqrt(-p / 3)
        angle = math.acos(max(-1.0, min(1.0, 3 * q / (p * radius)))) / 3
        found = [radius * math.cos(angle - turn * math.tau / 3) for turn in range(3)]
    return [_polished(scale * t - shift, b, c, d) for t in found]


def _quadratic_roots(b: float, c: float, d: float, largest: float) -> list[float]:
    if abs(b) <= 1e-14 * largest:
        return [-d / c] if abs(c) > 1e-14 * largest else []
    discriminant = c * c - 4 * b * d
    if discriminant < 0:
        return []
    q = -(c + math.copysign(math.sqrt(discriminant), c)) / 2
    return [q / b, d / q] if q else [0.0]


def _polished(x: float, b: float, c: float, d: float) -> float:
    value, slope = ((x + b) * x + c) * x + d, (3 * x + 2 * b) * x + c
    better = x - value / slope if slope else x
    return better if abs(((better + b) * better + c) * better + d) < abs(value) else x


def _dot(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum())
