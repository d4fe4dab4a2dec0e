"""The strongest plain baseline that was found: what a good engineer gets from eager PyTorch and OpenCV.

Whole pictures in float32 through the student as the paper writes it (tests/reference/plain.py), then OpenCV's guided
filter, which is several times as fast as one of PyTorch operators. Give it an allocator that returns nothing (jemalloc,
see `benchmarks.looks`): PyTorch's large tensors are new pages at each operator otherwise.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pcakd.photos.images import encode_photo, read_photo, to_image
from pcakd.stylize.smoothing import EPSILON, RADIUS
from pcakd.stylize.style import Style
from tests.reference import plain

Timed = Callable[[str, Callable[[], Any]], Any]
"""Runs a step under its name."""


def guided(guide: np.ndarray, source: np.ndarray) -> np.ndarray:
    """OpenCV's guided filter of uint8 H×W×3 by a colour guide."""
    import cv2

    return cv2.ximgproc.guidedFilter(guide=guide, src=source, radius=RADIUS, eps=EPSILON)


@torch.inference_mode()
def run(student, content: bytes, style: bytes, timed: Timed) -> bytes:
    """One photo from JPEG to JPEG; steps decode, style, network, filter, encode."""
    rgb = timed("decode", lambda: read_photo(content).rgb)

    def statistics():
        photo = _tensor(read_photo(style).rgb)
        return plain.encode_statistics(student, photo)

    levels = timed("style", statistics)
    result = timed("network", lambda: plain.transfer(student, _tensor(rgb), Style(levels, "")))
    pixels = (result[0] * 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    filtered = timed("filter", lambda: guided(rgb, pixels))
    return timed("encode", lambda: encode_photo(to_image(filtered), "JPEG"))


def _tensor(rgb: np.ndarray) -> Tensor:
    return torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
