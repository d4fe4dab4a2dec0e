"""Random smooth colour grades of whole batches, for training on transfers whose truth is known."""

import torch
from torch import Tensor

from pcakd.luma import REC_601

DRAWN = (3, 1, 3, 1, 1, 3, 3)
"""Numbers of a grade, in the order in which they are drawn: gains, gamma, gamma of each channel, saturation, contrast,
tint of the shadows, tint of the lights."""
NUMBERS = sum(DRAWN)
"""Of one grade."""


def draw_grades(count: int, generator: torch.Generator) -> Tensor:
    """The numbers of `count` grades, count×`NUMBERS` in [0, 1)."""
    return torch.cat([torch.rand(count, channels, generator=generator) for channels in DRAWN], 1)


def apply_grades(photos: Tensor, numbers: Tensor) -> Tensor:
    """Photos N×3×H×W in [0, 1], each with its own grade of `draw_grades`: gains, gamma, saturation, contrast, split
    toning.

    Stronger than the grades that models are evaluated with (`pcakd.evaluation`), and not drawn from the same
    distribution: uniform where those are normal.
    """
    gains, gamma, gammas, saturation, contrast, shadows, lights = numbers.to(photos)[:, :, None, None].split(DRAWN, 1)

    def between(low: float, high: float, share: Tensor) -> Tensor:
        return share * (high - low) + low

    luma = torch.tensor(REC_601).to(photos)[:, None, None]
    x = (photos * between(-0.35, 0.35, gains).exp()).clamp(1e-4, 1)
    x = x ** (between(-0.45, 0.45, gamma) + between(-0.1, 0.1, gammas)).exp()
    grey = (x * luma).sum(1, keepdim=True)
    x = grey + (x - grey) * between(0.5, 1.5, saturation)
    x = 0.5 + (x - 0.5) * between(0.7, 1.3, contrast)
    grey = grey.clamp(0, 1)
    x = x + between(-0.08, 0.08, shadows) * (1 - grey) ** 2 + between(-0.08, 0.08, lights) * grey**2
    return x.clamp(0, 1)


def random_grade(photos: Tensor, generator: torch.Generator) -> Tensor:
    """Photos N×3×H×W in [0, 1], each with its own random grade (see `apply_grades`)."""
    return apply_grades(photos, draw_grades(len(photos), generator))
