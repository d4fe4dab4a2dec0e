"""Random smooth colour grades of whole batches, for training on transfers whose truth is known."""

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)


def random_grade(photos: Tensor, generator: torch.Generator) -> Tensor:
    """Photos N×3×H×W in [0, 1], each with its own grade: gains, gamma, saturation, contrast, split toning.

    Stronger than the grades that models are evaluated with (`pcakd.evaluation`), and not drawn from the same
    distribution: uniform where those are normal.
    """
    n = len(photos)

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.rand(n, channels, 1, 1, generator=generator).to(photos) * (high - low) + low

    luma = torch.tensor(LUMA).to(photos)[:, None, None]
    x = (photos * uniform(-0.35, 0.35, 3).exp()).clamp(1e-4, 1)
    x = x ** (uniform(-0.45, 0.45) + uniform(-0.1, 0.1, 3)).exp()
    grey = (x * luma).sum(1, keepdim=True)
    x = grey + (x - grey) * uniform(0.5, 1.5)
    x = 0.5 + (x - 0.5) * uniform(0.7, 1.3)
    grey = grey.clamp(0, 1)
    x = x + uniform(-0.08, 0.08, 3) * (1 - grey) ** 2 + uniform(-0.08, 0.08, 3) * grey**2
    return x.clamp(0, 1)
