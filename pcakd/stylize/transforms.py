"""Feature transforms: style statistics and content statistics → one affine map of a level's features.

Every transform answers y = T·(x - μ_content) + μ_style, with its own C×C matrix T, from covariances (÷ N):

    zca    T = (Σs + ρI)^½ · (Σc + ρI)^-½                             whitening and colouring
    ot     T = A^-1 · (A·Σs·A + ρI)^½ · A^-1,  A = (Σc + ρI)^½         optimal transport, symmetric positive definite
    adain  T = diag(√(σs² + ε) / √(σc² + ε))                           means and variances alone
    lsft   T = Π (I - ηD), η from exact line searches                  see `pcakd.stylize.line_search`

ρ = 1 is what the released models use; ρ = 0 gives the style's statistics exactly when the content's covariance
has full rank. Paper section 4; the closed forms are those of its released demo.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pcakd.checks import one_of
from pcakd.stylize.line_search import line_search_matrix
from pcakd.stylize.options import TRANSFORMS, Transform

REGULARISATION = 1.0
"""ρ, added to the covariances' diagonals; feature variances are around 1 to 1000."""

ADAIN_EPSILON = 1e-8
"""ε, added to variances (AdaIN); keeps constant channels from dividing by zero."""


class Statistics(NamedTuple):
    """First and second moments of one level's features: float64 on the CPU."""

    mean: Tensor  # (C,)
    covariance: Tensor  # (C, C), centred, ÷ N


class AffineMap(NamedTuple):
    """y = matrix · x + bias, on a level's C channels; float64."""

    matrix: Tensor  # (C, C)
    bias: Tensor  # (C,)

    def blend(self, strength: float) -> "AffineMap":
        """The map a fraction `strength` of the way from the identity (0) to this one (1)."""
        identity = torch.eye(len(self.bias), dtype=self.matrix.dtype)
        return AffineMap(torch.lerp(identity, self.matrix, strength), self.bias * strength)

    def apply(self, x: Tensor) -> Tensor:
        """Map features N×C×H×W, in their dtype and on their device."""
        matrix, bias = self.matrix.to(x), self.bias.to(x)
        # Matrix products round differently by shape; a 1×1 convolution is what the folded path computes.
        return torch.nn.functional.conv2d(x, matrix[:, :, None, None], bias)


def symmetric_power(matrix: Tensor, exponent: float) -> Tensor:
    """matrix^exponent of a symmetric positive semi-definite matrix (float64, C×C) by its eigenvectors.

    Rounding can leave eigenvalues a hair below zero: they count as zero. For a negative exponent, directions
    without variance (below 1e-12 of the largest eigenvalue) map to zero, as in a pseudo-inverse.
    """
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp_min(0)
    if exponent < 0:
        kept = values > values.max().clamp_min(1e-300) * 1e-12
        powers = torch.where(kept, values.clamp_min(1e-300) ** exponent, 0.0)
    else:
        powers = values**exponent
    return (vectors * powers) @ vectors.T


def monge_kantorovich(content: Tensor, style: Tensor, ridge: Tensor | float = 0.0) -> Tensor:
    """The symmetric matrix T with T·content·T = style, the linear map of optimal transport (float64, C×C each).

    T = A⁻¹(A·style·A + ridge)^½A⁻¹ with A = content^½ (Pitié & Kokaram 2007).
    """
    root, inverse = symmetric_power(content, 0.5), symmetric_power(content, -0.5)
    middle = root @ style @ root
    return inverse @ symmetric_power((middle + middle.T) / 2 + ridge, 0.5) @ inverse


def transform_map(
    transform: Transform,
    content: Statistics,
    style: Statistics,
    *,
    balance: float = 1.0,
    regularisation: float = REGULARISATION,
) -> AffineMap:
    """The affine map that gives features with `content` statistics the `style` statistics.

    balance: of lsft, from 0 (the identity) to 1 (the style alone): the mean goes that share of the way, and the
    covariance's content term weighs (1 - balance) / balance. regularisation: ρ of the module's formulas, 0 or more;
    zca and ot use it. Raises UsageError for a transform that does not exist.
    """
    one_of("transform", transform, TRANSFORMS)
    if transform == "lsft":
        weight = (1 - balance) / balance if balance else math.inf
        matrix = line_search_matrix(content.covariance, style.covariance, weight=weight)
        return AffineMap(matrix, torch.lerp(content.mean, style.mean, balance) - matrix @ content.mean)
    ridge = regularisation * torch.eye(len(content.mean), dtype=torch.float64)
    if transform == "zca":
        whiten = symmetric_power(content.covariance + ridge, -0.5)
        matrix = symmetric_power(style.covariance + ridge, 0.5) @ whiten
    elif transform == "ot":
        matrix = monge_kantorovich(content.covariance + ridge, style.covariance, ridge)
    else:
        variances = style.covariance.diagonal().clamp_min(0) + ADAIN_EPSILON
        matrix = torch.diag((variances / (content.covariance.diagonal().clamp_min(0) + ADAIN_EPSILON)).sqrt())
    return AffineMap(matrix, style.mean - matrix @ content.mean)
