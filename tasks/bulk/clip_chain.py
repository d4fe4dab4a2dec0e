"""The chain of a job that takes videos, too: photos go through Ray Data, then clips through tasks of their own.

A clip of few segments is one task. A longer one is begun by one, made by many, a few segments each, and joined by one:
all workers are at a long clip together, and its result is the same, byte for byte.
"""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pyarrow as pa

from pcakd.photos.leftovers import is_clip
from pcakd.storage.keys import key_of
from tasks.bulk.carried import Row
from tasks.bulk.clips import Begun, begin, join, make, whole
from tasks.bulk.pipeline import POLL_S, RETRIES, Chain
from tasks.bulk.workers import Work, models, ready

PART = 4
"""Segments that a task makes: so much is done again if its worker dies."""

CALL_S = 12 * 3600.0
"""So long a task may be at a clip: the first pass over hours of film takes hours. Only then the run counts as stuck."""


@dataclass
class _Long:
    """A clip that several tasks work on. begun: Ray's reference to it; parts: those of its packets, in order."""

    begun: Any
    parts: list[Any] = field(default_factory=list)
    left: int = 0
    over: bool = False


Call = tuple[Any, _Long | None, int]
"""What makes the call, the clip that it belongs to, the number of its part."""


class ChainWithClips(Chain):
    """The job's chain on the cluster that this process is attached to."""

    def run(self, items: pa.Table, *, alone: bool = False) -> Iterator[list[Row] | None]:
        """As `Chain.run`; no rows while clips are worked on."""
        clips = pa.array([is_clip(key_of(key)) for key in items["key"].to_pylist()], pa.bool_())
        photos = items.filter(pa.compute.invert(clips))
        if len(photos):
            yield from super().run(photos, alone=alone)
        yield from self._run_clips(items.filter(clips).to_pylist(), 1 if alone else self.shares.stylizers)

    def _run_clips(self, items: list[dict[str, Any]], room: int) -> Iterator[list[Row] | None]:
        import ray
        from ray.exceptions import RayError

        calls = _Calls(self.work, self._shared, self.shares)
        waiting, ready = deque(items), deque[Call]()
        running: dict[Any, Call] = {}
        since: dict[Any, float] = {}
        try:
            while waiting or ready or running:
                while len(running) < room and (ready or waiting):
                    call = ready.popleft() if ready else (calls.beginning(waiting.popleft()), None, 0)
                    if call[1] is None or not call[1].over:
                        running[reference := call[0]()] = call
                        since[reference] = time.monotonic()
                if not running:
                    continue
                done, _ = ray.wait(list(running), timeout=POLL_S)
                if not done:
                    yield [] if time.monotonic() - min(since.values()) < CALL_S else None
                    continue
                del since[done[0]]
                _, long, number = running.pop(done[0])
                try:
                    rows, more = calls.after(done[0], long, number)
                except RayError:  # its worker died each time: the driver tries the clip alone
                    rows, more = [], []
                    if long is not None:
                        long.over = True
                ready.extend(more)
                yield rows
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


class _Calls:
    """Calls on Ray, and what follows from each."""

    def __init__(self, work: Work, shared: bytes, shares: Any) -> None:
        import ray

        how: dict[str, Any] = {"max_retries": RETRIES, "num_cpus": shares.cpus}
        self._begin: Any = ray.remote(**how, num_gpus=shares.gpus, num_returns=2)(_begin)
        self._make: Any = ray.remote(**how, num_returns=2)(_make)
        self._join: Any = ray.remote(**how)(_join)
        self.work, self._shared, self.shares = work, shared, shares
        self._second: dict[Any, Any] = {}

    def beginning(self, item: dict[str, Any]) -> Any:
        def call() -> Any:
            first, second = self._begin.remote(self.work, item, self._shared, self.shares.threads, self.shares.settings)
            self._second[first] = second
            return first

        return call

    def after(self, first: Any, long: _Long | None, number: int) -> tuple[list[Row], list[Call]]:
        """(rows, calls that can be made now), once a call has ended. Raises RayError."""
        import ray

        told, second = ray.get(first), self._second.pop(first, None)
        if long is None:
            if not isinstance(told, int):
                return [told], []
            starts = range(0, told, PART)
            clip = _Long(second, [None] * len(starts), len(starts))
            return [], [
                (self._making(clip, range(at, min(at + PART, told))), clip, index) for index, at in enumerate(starts)
            ]
        if told is not None:  # a row: of the whole clip, or of a part that failed
            rows = [] if long.over else [told]
            long.over = True
            return rows, []
        long.parts[number], long.left = second, long.left - 1
        if long.left or long.over:
            return [], []
        return [], [(lambda: self._join.remote(self.work, long.begun, long.parts, self.shares.threads), long, 0)]

    def _making(self, clip: _Long, segments: range) -> Any:
        def call() -> Any:
            first, second = self._make.remote(clip.begun, segments, self.shares.threads)
            self._second[first] = second
            return first

        return call


@cache
def _models(shared: bytes, settings: tuple[tuple[str, Any], ...]) -> tuple[Any, Any, Any]:
    """Once a worker."""
    return models(shared, dict(settings))


def _begin(
    work: Work, item: dict[str, Any], shared: bytes, threads: int, settings: dict[str, Any]
) -> tuple[Row | int, Begun | None]:
    """(the row of a clip that one task is enough for, or has failed; else its segments; and what is known of it)."""
    ready(threads)
    begun = begin(work, item, *_models(shared, tuple(sorted(settings.items()))))
    if not isinstance(begun, Begun):
        return begun, None
    if begun.segments <= PART:
        return whole(work, begun), None
    return begun.segments, begun


def _make(begun: Begun, segments: range, threads: int) -> tuple[Row | None, Any]:
    ready(threads)
    return make(begun, segments)


def _join(work: Work, begun: Begun, parts: list[Any], threads: int) -> Row:
    import ray

    ready(threads)
    return join(work, begun, (ray.get(part) for part in parts))
