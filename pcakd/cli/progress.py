"""Progress on standard error: a bar on a terminal, now and then a line elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from pcakd.units import duration

LINE_EVERY_S = 15.0


class Display(Protocol):
    """What the user sees of work under way."""

    def show(self, done: int, total: int, words: str) -> None:
        """How far it is; words: the same in a line, as `how_far` has it."""
        ...

    def doing(self, what: str) -> None:
        """What is done that has no count: "listing", "starting Ray"."""
        ...


@contextmanager
def open_display(label: str = "") -> Iterator[Display]:
    """A display for the block. label: what a bar says before it, while things are counted."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"))
    # What is printed meanwhile stands above the bar, but output that goes elsewhere must arrive there.
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=sys.stdout.isatty()) as bar:
        yield _Bar(bar, label)


@contextmanager
def progress(word: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how far `total` things called `word` are: `with progress("photos", 100) as advance: advance(1)`.

    A single thing is either done or not: nothing is shown.
    """
    if total < 2:
        yield lambda count: None
        return
    done, started = 0, time.monotonic()
    with open_display() as display:

        def advance(count: int) -> None:
            nonlocal done
            done += count
            display.show(done, total, how_far(done, total, word, rate=rate_since(started, done)))

        display.show(0, total, how_far(0, total, word))
        yield advance


def rate_since(started: float, done: int) -> float | None:
    """Things a second since a time of `time.monotonic`; None in the first second, which says nothing of the rest."""
    seconds = time.monotonic() - started
    return done / seconds if seconds >= 1 else None


def how_far(done: int, total: int, word: str, *, failed: int = 0, rate: float | None = None) -> str:
    """One line: "1,200 of 2,000 photos, 3 failed, 12.5/s, 1:04 left". rate: a second, None where it is not known."""
    words = [f"{done:,} of {total:,} {word}"]
    if failed:
        words.append(f"{failed:,} failed")
    if rate:
        words += [f"{rate:,.1f}/s", f"{duration((total - done) / rate)} left"]
    return ", ".join(words)


class _Bar:
    def __init__(self, bar, label: str) -> None:
        self._bar, self._label = bar, label
        self._task = bar.add_task("", total=None, words="")

    def show(self, done: int, total: int, words: str) -> None:
        self._bar.update(self._task, description=self._label, completed=done, total=total, words=words)

    def doing(self, what: str) -> None:
        self._bar.update(self._task, description=what, refresh=True)


class _Lines:
    """A line when something else begins, and one every so many seconds."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def show(self, done: int, total: int, words: str) -> None:
        if time.monotonic() - self._last >= LINE_EVERY_S:
            self.doing(words)

    def doing(self, what: str) -> None:
        self._last = time.monotonic()
        print(what, file=sys.stderr, flush=True)
