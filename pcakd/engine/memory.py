"""How much memory a photo may take, and which features are stored in it; what is not stored is computed again."""

import ctypes
import os
import sys
from collections.abc import Mapping

DEFAULT_LIMIT = 3 << 30
"""Bytes of a process that stylizes: enough to store all features of an 8K photo (7680×4320)."""

BASE = 480 << 20
"""Bytes of the process before any photo: Python and PyTorch."""

STRIP_BYTES = 4 << 20
"""Size of a strip's widest features: a few of them stay in the caches."""

_ALIVE = ({"l1", "l2", "l3", "x2"}, {"l1", "x2", "x1"}, {"x1", "x0"})
"""Features that live at the same time: while decoder block 3, 2, 1 runs. l: encoder, x: decoder, by level."""

_PRIORITY = ("x2", "l3", "l2", "x1", "l1", "x0")
"""What costs most to compute again, per byte, comes first."""


def choose_stored(sizes: Mapping[str, int], budget: int) -> frozenset[str]:
    """Names of the features to store, so that those alive together never take more than `budget` bytes."""
    stored: set[str] = set()
    for name in _PRIORITY:
        trial = stored | {name}
        if all(sum(sizes[n] for n in trial & alive) <= budget for alive in _ALIVE):
            stored = trial
    return frozenset(stored)


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
