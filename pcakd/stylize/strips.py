"""Strips computed side by side: one thread a strip, each with single-threaded operators.

Threads over strips beat threads inside operators: there is no barrier after every operator, which on a busy
machine costs more than the operator itself.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

import torch

T = TypeVar("T")
U = TypeVar("U")
Strip = tuple[int, int]
_at_once: ContextVar[int] = ContextVar("strips at once", default=0)


def cut(height: int, rows: int, *, least: int = 1) -> list[Strip]:
    """Strips (start, stop) of nearly equal height, at most `rows` (1 or more) each, at least `least` of them."""
    count = min(max(-(-height // max(rows, 1)), least, 1), height)
    bounds = [round(i * height / count) for i in range(count + 1)]
    return list(pairwise(bounds))


def strips_at_once() -> int:
    """Strips that are computed at a time on a CPU: as many as operators may use threads, but for `strips_alone`."""
    return _at_once.get() or torch.get_num_threads()


def map_strips(function: Callable[[int, int], T], strips: Sequence[Strip], device: torch.device) -> list[T]:
    """function(start, stop) of every strip, in order; on a CPU `strips_at_once` of them in parallel."""
    threads = strips_at_once() if device.type == "cpu" else 1
    if threads == 1 or len(strips) == 1:
        return [function(*strip) for strip in strips]

    def run(strip: Strip) -> T:
        with torch.inference_mode():
            return function(*strip)

    with single_threaded():
        return list(_pool(threads).map(run, strips))


def with_beside(first: Callable[[], T], small: Callable[[], U], device: torch.device) -> tuple[T, U]:
    """first() and small(); on a CPU side by side, the small one on one thread and the first on the others. Both mind
    gradients themselves: inference mode belongs to the thread."""
    threads = strips_at_once() if device.type == "cpu" else 1
    if threads == 1:
        return first(), small()
    beside = ThreadPoolExecutor(1, "pcakd-beside", initializer=torch.set_num_threads, initargs=(1,))
    with strips_alone(threads - 1), beside:
        other = beside.submit(small)
        return first(), other.result()


@lru_cache(maxsize=2)  # a process's threads, and one less beside what is small
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


@contextmanager
def strips_alone(threads: int = 0) -> Iterator[None]:
    """In here only strips are computed side by side, so many (0: as many as before) at a time; operators use one
    thread. For small photos: what operators win by more threads is lost again, for these wait by spinning, on the
    cores that the next strips need."""
    before = _at_once.set(threads or strips_at_once())
    try:
        with single_threaded():
            yield
    finally:
        _at_once.reset(before)
