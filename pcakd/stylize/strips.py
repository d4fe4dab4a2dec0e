"""Strips computed side by side: one thread a strip, each with single-threaded operators.

Threads over strips beat threads inside operators: there is no barrier after every operator, which on a busy
machine costs more than the operator itself.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

import torch

T = TypeVar("T")
Strip = tuple[int, int]


def cut(height: int, rows: int, *, least: int = 1) -> list[Strip]:
    """Strips (start, stop) of nearly equal height, at most `rows` (1 or more) each, at least `least` of them."""
    count = min(max(-(-height // max(rows, 1)), least, 1), height)
    bounds = [round(i * height / count) for i in range(count + 1)]
    return list(pairwise(bounds))


def map_strips(function: Callable[[int, int], T], strips: Sequence[Strip], device: torch.device) -> list[T]:
    """function(start, stop) of every strip, in order; in parallel on a CPU, as wide as `torch.get_num_threads`."""
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    if threads == 1 or len(strips) == 1:
        return [function(*strip) for strip in strips]

    def run(strip: Strip) -> T:
        with torch.inference_mode():
            return function(*strip)

    with single_threaded():
        return list(_pool(threads).map(run, strips))


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "pcakd-strip", initializer=torch.set_num_threads, initargs=(1,))


@contextmanager
def single_threaded() -> Iterator[None]:
    """Operators in here use one thread: small matrices are done sooner, and to the same bit on every machine.

    The number of OpenMP threads belongs to the calling thread, that of MKL to the process.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
