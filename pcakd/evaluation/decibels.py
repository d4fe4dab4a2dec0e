"""Errors in decibels: alone, as trainings need it where nothing measures photos."""

import math

PSNR_CAP = 99.0
"""What equal photos score, in dB."""


def decibels(error: float) -> float:
    """Peak signal-to-noise ratio of a mean squared error of values in [0, 1]; at most `PSNR_CAP`."""
    return PSNR_CAP if error == 0 else min(PSNR_CAP, -10 * math.log10(error))
