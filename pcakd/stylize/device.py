"""Which device a choice means here."""

import torch

from pcakd.checks import one_of
from pcakd.errors import UsageError
from pcakd.stylize.options import DEVICES, Device


def pick_device(device: Device) -> torch.device:
    """The torch device of a choice. Raises UsageError if it is not there."""
    one_of("device", device, DEVICES)
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise UsageError("device is 'cuda', but PyTorch sees no CUDA device here; use --device cpu")
    return torch.device("cuda" if device == "cuda" or (device == "auto" and available) else "cpu")
