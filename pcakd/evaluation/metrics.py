"""Measures between photos, and between a photo and a style in teacher features."""

from typing import NamedTuple

import numpy as np
import torch
from skimage.color import deltaE_ciede2000, rgb2gray, rgb2lab
from skimage.filters import gaussian, sobel
from skimage.metrics import structural_similarity

from pcakd.evaluation.decibels import decibels
from pcakd.student.network import LEVELS
from pcakd.stylize.engine import photo_tensor
from pcakd.teacher import Teacher

SSIM_WINDOW = 7
"""Side of SSIM's window in pixels; smaller photos take the largest odd window that fits."""


def psnr(photo: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of uint8 H×W×3 against the truth; at most `PSNR_CAP` of `decibels`."""
    return decibels(float(np.mean((photo.astype(np.float64) - truth) ** 2)) / 255**2)


def luminance_ssim(photo: np.ndarray, other: np.ndarray) -> float:
    """SSIM of the luminance of two uint8 H×W×3; 1 for equal ones."""
    return _ssim(rgb2gray(photo), rgb2gray(other))


def edge_ssim(photo: np.ndarray, other: np.ndarray) -> float:
    """SSIM of the Sobel edge strength of the luminance of two uint8 H×W×3."""
    return _ssim(sobel(rgb2gray(photo)), sobel(rgb2gray(other)))


def _ssim(a: np.ndarray, b: np.ndarray) -> float:
    side = min(SSIM_WINDOW, *a.shape)
    window = side - (side % 2 == 0)
    # A window of one pixel has no sample covariance.
    return float(structural_similarity(a, b, data_range=1.0, win_size=window, use_sample_covariance=window > 1))


def ciede2000(photo: np.ndarray, truth: np.ndarray) -> float:
    """Mean CIEDE2000 colour difference over the pixels of two uint8 H×W×3; around 1 is just noticeable."""
    return float(deltaE_ciede2000(rgb2lab(photo), rgb2lab(truth)).mean())


def delta_e76(photo: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance in CIELAB over the pixels of two uint8 H×W×3."""
    return float(np.linalg.norm(rgb2lab(photo) - rgb2lab(truth), axis=-1).mean())


HISTOGRAM_BINS = 64


def histogram_correlation(result: np.ndarray, style: np.ndarray) -> float:
    """Correlation of the histograms of two uint8 H×W×3 of any sizes, mean of red, green and blue; 1 for equal ones."""
    found = []
    for channel in range(3):
        a, b = (
            np.histogram(photo[..., channel], HISTOGRAM_BINS, (0, 256))[0] / photo[..., channel].size
            for photo in (result, style)
        )
        a, b = a - a.mean(), b - b.mean()
        found.append(float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12)))
    return float(np.mean(found))


COLOUR_CELLS = 32
"""Cells a channel that `roughness` sorts colours into: 8 grey levels wide."""
FEWEST = 4
"""Pixels of a cell whose mean colour counts."""


def roughness(content: np.ndarray, result: np.ndarray) -> float:
    """How far apart neighbouring colours of the content come out, as banding does: two uint8 H×W×3 of one size.

    The local Lipschitz constant of the map from the content's colour to the result's: colours are sorted into cells,
    the steepest way from a cell's mean colour to a neighbouring cell's is taken, and its mean over pixels. 1 for the
    content itself, and for a plain change of contrast that change.
    """
    before, after = (photo.reshape(-1, 3).astype(np.float64) for photo in (content, result))
    shape = (COLOUR_CELLS,) * 3
    cells = (before * COLOUR_CELLS / 256).astype(int)
    flat = np.ravel_multi_index(tuple(cells.T), shape)
    count = np.bincount(flat, minlength=COLOUR_CELLS**3)

    def cell_means(photo: np.ndarray) -> np.ndarray:
        sums = np.stack([np.bincount(flat, photo[:, c], COLOUR_CELLS**3) for c in range(3)], -1)
        return (sums / np.maximum(count, 1)[:, None]).reshape(*shape, 3)

    ours, theirs = cell_means(before), cell_means(after)
    weight = np.where(count < FEWEST, 0, count).reshape(shape)
    steepest = np.zeros(weight.shape)
    for axis in range(3):
        first, second = ([slice(None)] * 3 for _ in range(2))
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        a, b = tuple(first), tuple(second)
        way = np.linalg.norm(ours[b] - ours[a], axis=-1)
        slope = np.linalg.norm(theirs[b] - theirs[a], axis=-1) / np.maximum(way, 1.0)
        slope[(weight[a] == 0) | (weight[b] == 0)] = 0
        steepest[a], steepest[b] = np.maximum(steepest[a], slope), np.maximum(steepest[b], slope)
    weight = np.where(steepest > 0, weight, 0)  # a lone colour has no way to go
    return float((steepest * weight).sum() / max(weight.sum(), 1))


FLAT_SHARE = 0.4
"""Share of a content's pixels, the flattest, that `stray_gradients` looks at."""
FLAT_SIGMA = 2.0
"""Gaussian's sigma, in pixels, of the gradients that it takes: noise is not a halo."""


def stray_gradients(content: np.ndarray, result: np.ndarray) -> float:
    """How much brightness changes in the result where the content is flat, as halos do: two uint8 H×W×3 of one size.

    The mean gradient of the result's luminance (blurred by `FLAT_SIGMA`) over the flattest `FLAT_SHARE` of the
    content, over the standard deviation of the result's luminance; in thousandths a pixel, so that a gain of contrast
    alone changes nothing. The content against itself is what the photo has anyhow; a plain result scores 0.
    """
    before, after = rgb2gray(content), rgb2gray(result)
    spread = float(after.std())
    if spread < 1e-6:
        return 0.0
    own, found = (np.hypot(*np.gradient(gaussian(y, FLAT_SIGMA))) for y in (before, after))
    return 1000 * float(found[own <= np.quantile(own, FLAT_SHARE)].mean()) / spread


class LevelStatistics(NamedTuple):
    """What style losses compare at one level of a teacher; float64."""

    gram: torch.Tensor  # (C, C): F·Fᵀ ÷ pixels
    mean: torch.Tensor  # (C,)
    std: torch.Tensor  # (C,)


class StyleLoss:
    """Gram and mean/std losses of a result against its style, level by level, in a teacher's features.

    Both are relative: squared distance over the style's own squared norm, so that levels and teachers compare.
    """

    def __init__(self, teacher: Teacher, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.teacher = teacher.to(self.device)

    @torch.inference_mode()
    def statistics(self, photo: np.ndarray) -> list[LevelStatistics]:
        """Statistics of a photo, uint8 H×W×3, at levels 0..3."""
        levels = []
        for features in self.teacher.features(photo_tensor(torch.from_numpy(np.array(photo)), self.device)):
            flat = features[0].flatten(1)
            gram = (flat @ flat.T).double().cpu() / flat.shape[1]
            mean = flat.double().mean(1).cpu()
            std = (gram.diagonal() - mean.square()).clamp_min(0).sqrt()
            levels.append(LevelStatistics(gram, mean, std))
        return levels

    def __call__(self, result: np.ndarray, style: list[LevelStatistics]) -> dict[str, float]:
        """Losses of a result: "gram.0" … "gram.3", "moments.0" … "moments.3", and their means "gram", "moments"."""
        losses: dict[str, float] = {}
        for level, (a, b) in enumerate(zip(self.statistics(result), style, strict=True)):
            losses[f"gram.{level}"] = float((a.gram - b.gram).square().sum() / b.gram.square().sum().clamp_min(1e-12))
            distance = (a.mean - b.mean).square().sum() + (a.std - b.std).square().sum()
            losses[f"moments.{level}"] = float(
                distance / (b.mean.square().sum() + b.std.square().sum()).clamp_min(1e-12)
            )
        for name in ("gram", "moments"):
            losses[name] = float(np.mean([losses[f"{name}.{level}"] for level in range(LEVELS)]))
        return losses
