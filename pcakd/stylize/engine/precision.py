"""What each block is computed in.

fp32  float32 throughout: parity with the reference.
bf16  bfloat16 in every convolution; statistics in float32 and float64.
auto  for VGG, on devices that are fast at bfloat16, bfloat16 in encoder blocks 2 and 3 and decoder block 3:
      two thirds of the arithmetic at 45 to 48 dB from fp32. Every bfloat16 rounding of a feature map costs
      accuracy (its weights far less), most of all near the picture. float32 elsewhere.

docs/performance.md states the measured distances.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from pcakd.bfloat16 import fast_bfloat16
from pcakd.student.network import Backbone

Precision = Literal["auto", "fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("auto", "fp32", "bf16")

_F, _B = torch.float32, torch.bfloat16


@dataclass(frozen=True)
class Precisions:
    """Dtypes of the encoder's and the decoder's blocks 0..3."""

    encoder: tuple[torch.dtype, torch.dtype, torch.dtype, torch.dtype]
    decoder: tuple[torch.dtype, torch.dtype, torch.dtype, torch.dtype]


_FP32 = Precisions((_F,) * 4, (_F,) * 4)
_BF16 = Precisions((_B,) * 4, (_B,) * 4)
_MIXED = Precisions((_F, _F, _B, _B), (_F, _F, _F, _B))


def precisions(precision: Precision, device: torch.device, backbone: Backbone) -> Precisions:
    """The dtypes that a precision stands for on a device, for a student of that backbone."""
    if precision == "fp32":
        return _FP32
    if precision == "bf16":
        return _BF16
    # MobileNet's inner blocks are too small a part of its time to win anything.
    return _MIXED if backbone == "vgg" and fast_bfloat16(device) else _FP32


@contextmanager
def full_float32() -> Iterator[None]:
    """Float32 convolutions in here are float32 on a GPU, too: cuDNN's own default rounds their inputs to TF32."""
    # All of a switch's values are set at once, and its default for `enabled` is False.
    with torch.backends.cudnn.flags(
        enabled=torch.backends.cudnn.enabled,
        benchmark=torch.backends.cudnn.benchmark,
        deterministic=torch.backends.cudnn.deterministic,
        allow_tf32=False,
    ):
        yield
