"""Mean and covariance of features as the paper writes them, on whole pictures: the engine's moments are held to it."""

import torch
from torch import Tensor

from pcakd.stylize.transforms import Statistics

CHUNK = 1 << 16
"""Pixels summed in the features' own precision before their sum goes into float64."""


def feature_statistics(x: Tensor, weight: Tensor | None = None) -> Statistics:
    """Mean and covariance (÷ N, or ÷ Σ weight) over all pixels of features N×C×H×W.

    weight: N×1×H×W, 0 or more, for masked regions. Chunks of centred features are multiplied in float32 and
    summed in float64: the centring, not the sum, is what the last digits of the picture depend on.
    """
    flat = x.detach().float().movedim(1, 0).flatten(1)  # (C, M)
    w = None if weight is None else weight.detach().float().movedim(1, 0).flatten(1)  # (1, M)
    channels, pixels = flat.shape
    total = float(pixels) if w is None else float(w.double().sum())
    mean = torch.zeros(channels, dtype=torch.float64)
    for start in range(0, pixels, CHUNK):
        part = flat[:, start : start + CHUNK].double()
        mean += (part if w is None else part * w[:, start : start + CHUNK]).sum(1).cpu()
    mean /= total
    centre = mean.to(flat.device, torch.float32)[:, None]
    covariance = torch.zeros(channels, channels, dtype=torch.float64)
    rest = torch.zeros(channels, dtype=torch.float64)
    for start in range(0, pixels, CHUNK):
        part = flat[:, start : start + CHUNK] - centre
        weighted = part if w is None else part * w[:, start : start + CHUNK]
        covariance += (weighted @ part.T).double().cpu()
        rest += weighted.double().sum(1).cpu()
    # The centre was rounded to float32: what it missed by is known, and leaves the covariance again.
    rest /= total
    covariance = covariance / total - torch.outer(rest, rest)
    return Statistics(mean, (covariance + covariance.T) / 2)
