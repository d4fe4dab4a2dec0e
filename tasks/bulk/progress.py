"""How far a bulk job is: on standard error, in Prefect's interface, in MLflow. The driver tells one object.

with BulkProgress(show=True, tracker=run) as progress:
    progress.doing("starting Ray")
    progress.update(Counts(items=2_000, done=1_200, failed=3, rows=200, bytes_in=..., bytes_out=...))
"""

import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

METRICS_EVERY_S = 10.0
LINE_EVERY_S = 15.0
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


class _Display(Protocol):
    def show(self, counts: Counts, rate: float | None) -> None: ...

    def doing(self, what: str) -> None: ...


class BulkProgress:
    """Takes what the driver tells it as often as the driver likes, and passes it on now and then.

    show:    a bar on a terminal, plain occasional lines on any other standard error.
    tracker: has `metrics(values, step=)`, as a Tracker: told every `metrics_every_s` seconds and at the end.
    tell:    told (share, text), as a StageProgress; it sees to its own pace.
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
        self._display: _Display | None = None
        self._recent: deque[tuple[float, int, int]] = deque()
        self._counts: Counts | None = None
        self._started = self._sent = time.monotonic()

    def __enter__(self) -> "BulkProgress":
        if self._show:
            self._display = _Bar(self._stack) if sys.stderr.isatty() else _Lines()
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
        if self._display is not None:
            self._display.show(counts, rate)
        if self._tell is not None:
            self._tell(_share(counts), text(counts, rate))
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


def text(counts: Counts, rate: float | None) -> str:
    """One line: "1,200 of 2,000 photos, 3 failed, 12.5/s, 1:04 left"."""
    words = [f"{counts.done:,} of {counts.items:,} {counts.word}"]
    if counts.failed:
        words.append(f"{counts.failed:,} failed")
    if rate:
        words += [f"{rate:,.1f}/s", f"{duration((counts.items - counts.done) / rate)} left"]
    return ", ".join(words)


def duration(seconds: float) -> str:
    """ "0:09", "12:34", "3:02:01", "4 days 3:02:01"."""
    whole = round(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    clock = f"{hours}:{minutes:02}:{whole % 60:02}" if hours or days else f"{minutes}:{whole % 60:02}"
    return f"{days} day{'s' if days > 1 else ''} {clock}" if days else clock


def _share(counts: Counts | None) -> float:
    return counts.done / counts.items if counts is not None and counts.items else 0.0


class _Bar:
    """A bar with count, rate, time left and failures."""

    def __init__(self, stack: ExitStack) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
        self._progress = stack.enter_context(Progress(*columns, console=Console(stderr=True)))
        self._task = self._progress.add_task("", total=None, text="")

    def show(self, counts: Counts, rate: float | None) -> None:
        self._progress.update(
            self._task, description="stylizing", completed=counts.done, total=counts.items, text=text(counts, rate)
        )

    def doing(self, what: str) -> None:
        self._progress.update(self._task, description=what, refresh=True)


class _Lines:
    """A line when a phase begins, and one every so many seconds."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def show(self, counts: Counts, rate: float | None) -> None:
        if time.monotonic() - self._last >= LINE_EVERY_S:
            self._print(text(counts, rate))

    def doing(self, what: str) -> None:
        self._print(what)

    def _print(self, line: str) -> None:
        self._last = time.monotonic()
        print(line, file=sys.stderr, flush=True)
