"""FSIM: how alike two photos are in what makes structure visible, phase congruency and gradient strength.

Zhang, Zhang, Mou & Zhang, "FSIM: A Feature Similarity Index for Image Quality Assessment" (IEEE TIP 2011), with the
constants of its authors; phase congruency after Kovesi, "Image Features from Phase Congruency" (Videre 1999). Written
from the papers. Luminance alone; a style transfer changes colours on purpose.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from skimage.color import rgb2gray
from skimage.filters import scharr
from skimage.transform import downscale_local_mean

SCALES, ORIENTATIONS = 4, 4
SHORTEST_WAVE, WAVE_FACTOR = 6.0, 2.0  # pixels, and from scale to scale
RADIAL_SIGMA = 0.55  # of a log-Gabor filter, over its centre frequency
ANGULAR_SIGMA = math.pi / ORIENTATIONS / 1.2
NOISE_SIGMAS = 2.0  # above the noise's mean: what counts as structure
NOISE_SHARE = 1 / 1.7  # the mean is overestimated by as much, as scales' noise is not independent
PHASE_FLOOR, GRADIENT_FLOOR = 0.85, 160.0 / 255**2  # T1; T2, of squared gradients of luminance in 0..1
SHORTEST_SIDE = 256  # photos are averaged down to about this


def fsim(photo: np.ndarray, other: np.ndarray) -> float:
    """FSIM of the luminance of two uint8 H×W×3 of one size, 0 to 1; 1 for equal ones."""
    a, b = (_shrunk(rgb2gray(x)) for x in (photo, other))
    phase_a, phase_b = phase_congruency(a), phase_congruency(b)
    gradient_a, gradient_b = scharr(a) * math.sqrt(2), scharr(b) * math.sqrt(2)  # skimage's is the mean of the axes
    weight = np.maximum(phase_a, phase_b)
    if weight.sum() < 1e-9:  # two photos without structure
        return 1.0
    alike = _similarity(phase_a, phase_b, PHASE_FLOOR) * _similarity(gradient_a, gradient_b, GRADIENT_FLOOR)
    return float((alike * weight).sum() / weight.sum())


def _similarity(a: np.ndarray, b: np.ndarray, floor: float) -> np.ndarray:
    return (2 * a * b + floor) / (a * a + b * b + floor)


def _shrunk(luminance: np.ndarray) -> np.ndarray:
    factor = max(1, round(min(luminance.shape) / SHORTEST_SIDE))
    return downscale_local_mean(luminance, (factor, factor)) if factor > 1 else luminance


class Bank(NamedTuple):
    """Log-Gabor filters of one size."""

    spectra: np.ndarray  # (orientations, scales, H, W)
    noise: np.ndarray  # (orientations,): expected squared noise energy, of noise of unit power


@lru_cache(maxsize=4)
def filter_bank(height: int, width: int) -> Bank:
    """The filters for pictures of a size, in the order of `np.fft`."""
    y, x = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    radius, angle = np.hypot(y, x), np.arctan2(-y, x)
    low_pass = 1 / (1 + (radius / 0.45) ** 30)  # no corners of the spectrum
    radius[0, 0] = 1.0
    radial = []
    for scale in range(SCALES):
        centre = 1 / (SHORTEST_WAVE * WAVE_FACTOR**scale)
        band = np.exp(-(np.log(radius / centre) ** 2) / (2 * math.log(RADIAL_SIGMA) ** 2)) * low_pass
        band[0, 0] = 0.0
        radial.append(band)
    spectra = np.empty((ORIENTATIONS, SCALES, height, width))
    for orientation in range(ORIENTATIONS):
        off = angle - orientation * math.pi / ORIENTATIONS
        off = np.abs(np.arctan2(np.sin(off), np.cos(off)))
        spectra[orientation] = np.stack(radial) * np.exp(-(off**2) / (2 * ANGULAR_SIGMA**2))
    waves = np.fft.ifft2(spectra).real * math.sqrt(height * width)
    squares = (waves**2).sum((1, 2, 3))
    products = (waves.sum(1) ** 2).sum((1, 2)) - squares  # of every two scales, twice
    power = (spectra[:, 0] ** 2).sum((1, 2))
    return Bank(spectra, (2 * squares + 2 * products) / power)


def phase_congruency(luminance: np.ndarray) -> np.ndarray:
    """How much a pixel's waves of all scales rise together, 0 to 1, of luminance H×W; blind to contrast."""
    bank = filter_bank(*luminance.shape)
    spectrum = np.fft.fft2(luminance * 255)
    energy, amplitude = np.zeros(luminance.shape), np.full(luminance.shape, 1e-4)
    for filters, noise in zip(bank.spectra, bank.noise, strict=True):
        waves = np.fft.ifft2(spectrum * filters)  # real part even, imaginary part odd
        total = waves.sum(0)
        mean = total / (np.abs(total) + 1e-4)
        turned = waves * mean.conj()
        found = (turned.real - np.abs(turned.imag)).sum(0)
        # Of the finest scale most is noise: its median tells how strong that is.
        power = np.median(np.abs(waves[0]) ** 2) / math.log(2)
        tau = math.sqrt(power * noise / 2)
        threshold = tau * (math.sqrt(math.pi / 2) + NOISE_SIGMAS * math.sqrt(2 - math.pi / 2)) * NOISE_SHARE
        energy += np.maximum(found - threshold, 0)
        amplitude += np.abs(waves).sum(0)
    return energy / amplitude
