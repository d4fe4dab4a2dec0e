"""How far a bulk job is: on standard error, in Prefect's interface, in MLflow. The driver tells one object.

with BulkProgress(show=True, tracker=run) as progress:
    progress.doing("starting Ray")
    progress.update(Counts(items=2_000, done=1_200, failed=3, rows=200, bytes_in=..., bytes_out=...))
"""

import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from pcakd.cli.progress import Display, how_far, open_display

METRICS_EVERY_S = 10.0
RATE_OVER_S = 60.0
"""The rate is that of the last minute: a job that goes on after a break is not judged by its break."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Where a job stands; the driver adds up, so that an item that is tried again does not count twice."""

    items: int
    """Of the snapshot."""
    done: int
    """Items that have a final row, from earlier runs, too."""
    failed: int = 0
    """Of `done`, those that are not ok."""
    rows: int = 0
    """Rows that this run wrote: what the rate is measured on."""
    bytes_in: int = 0
    """Fetched by this run."""
    bytes_out: int = 0
    """Written by this run."""
    word: str = "photos"
    """What the items are called: with several styles an item is no photo."""


class BulkProgress:
    """Takes what the driver tells it as often as the driver likes, and passes it on now and then.

    show:    a bar on a terminal, plain occasional lines on any other standard error.
    tracker: has `metrics(values, step=)`, as a Tracker: told every `metrics_every_s` seconds and at the end.
    tell:    told (share, text) each time, as a StageProgress, which passes on only some of them.
    """

    def __init__(
        self,
        *,
        show: bool = False,
        tracker: Any = None,
        tell: Callable[[float, str], None] | None = None,
        metrics_every_s: float = METRICS_EVERY_S,
    ) -> None:
        self._show, self._tracker, self._tell, self._every = show, tracker, tell, metrics_every_s
        self._stack = ExitStack()
        self._display: Display | None = None
        self._recent: deque[tuple[float, int, int]] = deque()
        self._counts: Counts | None = None
        self._started = self._sent = time.monotonic()

    def __enter__(self) -> "BulkProgress":
        if self._show:
            self._display = self._stack.enter_context(open_display("stylizing"))
        return self

    def __exit__(self, *exception: object) -> None:
        if self._counts is not None:
            self._send(self._counts)
        self._stack.close()

    def doing(self, what: str) -> None:
        """Say what the job does that has no count: "listing", "starting Ray", "writing the report"."""
        if self._display is not None:
            self._display.doing(what)
        if self._tell is not None:
            self._tell(_share(self._counts), what)

    def update(self, counts: Counts) -> None:
        """Take the present counts; cheap."""
        now = time.monotonic()
        self._counts = counts
        if self._recent and not self._recent[-1][1]:
            self._recent.clear()  # the rate is measured from the first row on, not from Ray's start
        self._recent.append((now, counts.rows, counts.bytes_in + counts.bytes_out))
        while len(self._recent) > 2 and now - self._recent[1][0] > RATE_OVER_S:
            self._recent.popleft()
        rate, _ = self._rates()
        words = how_far(counts.done, counts.items, counts.word, failed=counts.failed, rate=rate)
        if self._display is not None:
            self._display.show(counts.done, counts.items, words)
        if self._tell is not None:
            self._tell(_share(counts), words)
        if now - self._sent >= self._every:
            self._send(counts)

    def _rates(self) -> tuple[float | None, float]:
        """(rows per second, megabytes per second) of the last minute; None before two different moments."""
        if len(self._recent) < 2:
            return None, 0.0
        (then, rows_then, bytes_then), (now, rows, size) = self._recent[0], self._recent[-1]
        seconds = now - then
        return ((rows - rows_then) / seconds, (size - bytes_then) / 1e6 / seconds) if seconds > 0 else (None, 0.0)

    def _send(self, counts: Counts) -> None:
        if self._tracker is None:
            return
        self._sent = time.monotonic()
        rate, megabytes = self._rates()
        values = {"done": counts.done, "failed": counts.failed, "photos_per_s": rate or 0.0, "mb_per_s": megabytes}
        self._tracker.metrics(values, step=round(self._sent - self._started))


def _share(counts: Counts | None) -> float:
    return counts.done / counts.items if counts is not None and counts.items else 0.0
