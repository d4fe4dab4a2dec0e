"""The feature transforms as their papers write them, in NumPy: what pcakd.stylize.transforms is held to.

Square roots come from singular value decompositions, as in the papers, steps of a line search from NumPy's roots.
"""

import numpy as np
from torch import Tensor, from_numpy
from torch.nn import functional as F

from pcakd.stylize.transforms import Statistics

STEPS = 3
"""Line searches of "lsft"."""


def matched(transform: str, x: Tensor, content: Statistics, style: Statistics, strength: float = 1.0) -> Tensor:
    """Features N×C×H×W, of the content's statistics, with the style's, a share `strength` of the way."""
    (mean_c, sigma_c), (mean_s, sigma_s) = ([part.numpy() for part in statistics] for statistics in (content, style))
    matrix = {"zca": zca, "ot": ot, "adain": adain, "lsft": lsft}[transform](sigma_c, sigma_s)
    bias = mean_s - matrix @ mean_c
    matrix, bias = (1 - strength) * np.eye(len(bias)) + strength * matrix, strength * bias
    return F.conv2d(x, from_numpy(matrix).to(x)[:, :, None, None], from_numpy(bias).to(x))


def zca(content: np.ndarray, style: np.ndarray) -> np.ndarray:
    """Whitening, then colouring; identities added to both covariances."""
    one = np.eye(len(content))
    return root(style + one) @ np.linalg.inv(root(content + one))


def ot(content: np.ndarray, style: np.ndarray) -> np.ndarray:
    """Optimal transport between Gaussians."""
    one = np.eye(len(content))
    a = root(content + one)
    inverse = np.linalg.inv(a)
    return inverse @ root(a @ style @ a + one) @ inverse


def adain(content: np.ndarray, style: np.ndarray) -> np.ndarray:
    """Variances alone."""
    return np.diag(np.sqrt((np.diag(style) + 1e-8) / (np.diag(content) + 1e-8)))


def lsft(content: np.ndarray, style: np.ndarray) -> np.ndarray:
    """Steps along the style loss's gradient, each as long as lowers the loss most."""
    unit = max(np.trace(content), np.trace(style), np.finfo(float).tiny)  # features may be constant
    content, style, matrix = content / unit, style / unit, np.eye(len(content))
    for _ in range(STEPS):
        sigma = matrix @ content @ matrix.T
        gradient = sigma - style
        # (I - ηD)·Σ·(I - ηD) - Σs, a matrix for each power of η; its squared norm is a quartic.
        powers = [gradient, -(gradient @ sigma + sigma @ gradient), gradient @ sigma @ gradient]
        loss = np.polynomial.Polynomial([0.0])
        for i, a in enumerate(powers):
            for j, b in enumerate(powers):
                loss += np.polynomial.Polynomial([0.0] * (i + j) + [float((a * b).sum())])
        roots = loss.deriv().roots()
        sizes = [0.0, *(float(size.real) for size in roots if abs(size.imag) < 1e-9 and size.real > 0)]
        matrix = matrix - min(sizes, key=loss) * gradient @ matrix
    return matrix


def root(matrix: np.ndarray) -> np.ndarray:
    """The square root of a symmetric positive semi-definite matrix."""
    u, values, _ = np.linalg.svd((matrix + matrix.T) / 2)
    return (u * np.sqrt(values)) @ u.T
