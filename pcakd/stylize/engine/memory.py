"""How much memory a photo may take, and which features are stored in it; what is not stored is computed again."""

import ctypes
import os
import sys
from collections.abc import Mapping

DEFAULT_LIMIT = 2500 << 20
"""Bytes of a process that stylizes photos of up to 8K (7680×4320), of which nearly all features fit."""

LARGE = 1 << 24
"""Pixels from which on a photo is worth returning freed memory for before it is stylized."""

MORE_PER_PIXEL = 3
"""Bytes that each pixel above 8K adds: half of what the photo and its result take."""

BASE = 680 << 20
"""Bytes of the process before any photo: Python, PyTorch and a model."""

STRIP_BYTES = 16 << 20
"""Size of a strip, as `_Run.strips` counts it: smaller strips compute their halos too often, larger ones leave
the caches. Measured at 2560×1440 and 3840×2160, best of 4 to 64 MiB."""

_PRIORITY = ("x2", "l3", "l2", "x1", "l1", "x0")
"""What costs most to compute again, per byte, comes first."""

_STEPS = 16
"""Shares are whole sixteenths; a smaller one is not worth the copying."""


def default_limit(pixels: int) -> int:
    """Bytes of a process that stylizes a photo of so many pixels, where the user sets no limit."""
    return DEFAULT_LIMIT + MORE_PER_PIXEL * max(pixels - 7680 * 4320, 0)


def choose_stored(sizes: Mapping[str, int], budget: int) -> dict[str, float]:
    """Share of each feature's rows to store, 0..1, so that what lives together takes at most `budget` bytes.

    sizes: bytes of the features; l: the encoder's, x: the decoder's, by level.
    """
    stored = dict.fromkeys(_PRIORITY, 0.0)
    for name in _PRIORITY:
        for step in range(_STEPS, 0, -1):
            trial = stored | {name: step / _STEPS}
            if _peak(sizes, trial) <= budget:
                stored = trial
                break
    return stored


def _peak(sizes: Mapping[str, int], stored: Mapping[str, float]) -> float:
    """Most bytes alive at a time. What is not stored whole keeps alive what it is computed from."""
    alive = [{"l1", "l2", "l3", "x2"}, {"l1", "x2", "x1"}, {"x1", "x0"}]  # while decoder block 3, 2, 1 runs
    if stored["x1"] < 1:
        alive[2] |= {"x2", "l1"}
    if stored["x2"] < 1:
        alive[1] |= {"l2", "l3"}
        if stored["x1"] < 1:
            alive[2] |= {"l2", "l3"}
    return max(sum(stored[name] * sizes[name] for name in names) for names in alive)


def return_freed_memory() -> None:
    """Give memory that is allocated no more back to the kernel, where the C library is glibc.

    Decoders leave several times a large photo's size behind, in pieces that the allocator keeps.
    """
    if sys.platform.startswith("linux"):
        try:
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        except (OSError, AttributeError):
            return


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to keep freed memory for the next tensor instead of returning it to the kernel.

    By default every large tensor is new zeroed pages, whose faults cost as much as the arithmetic. For
    processes that only stylize (the command line); False where the C library is another one, or where the
    environment sets the allocator already.
    """
    if not sys.platform.startswith("linux") or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3
    size = 64 << 20
    return bool(mallopt(mmap_threshold, size) and mallopt(trim_threshold, 2 * size) and mallopt(top_pad, size // 4))
