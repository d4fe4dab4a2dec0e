"""How much a run may take: a rate, a time of the day, a sum. A budget that is spent ends the run, not the job."""

import re
from dataclasses import dataclass
from datetime import time

from pcakd.errors import UsageError

LEAST_OBJECTS, LEAST_BYTES = 0.1, 100_000
"""A second: with less a run would look as if it were stuck."""

_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:(k|m|g|)b)?(?:/s)?", re.IGNORECASE)
_WINDOW = re.compile(r"(\d{1,2}):(\d\d)-(\d{1,2}):(\d\d)")


@dataclass(frozen=True)
class Rate:
    """So many a second: objects that are fetched, or, where `of_bytes`, bytes that are fetched and written."""

    a_second: float
    of_bytes: bool


@dataclass(frozen=True)
class Window:
    """From one time of the day up to another, which may be the next day's."""

    start: time
    end: time

    def __contains__(self, moment: time) -> bool:
        if self.start < self.end:
            return self.start <= moment < self.end
        return moment >= self.start or moment < self.end


def parse_rate(text: str) -> Rate:
    """ "20/s" as objects, "5MB/s" as bytes (powers of 1000). Raises UsageError."""
    match = _RATE.fullmatch(text.strip())
    if not match:
        raise UsageError(f"max_rate is {text!r}: write objects as 20/s, or bytes as 5MB/s")
    rate = Rate(float(match[1]) * _UNITS[(match[2] or "").lower()], of_bytes=match[2] is not None)
    if rate.a_second < (LEAST_BYTES if rate.of_bytes else LEAST_OBJECTS):
        raise UsageError(f"max_rate is {text!r}: give {LEAST_OBJECTS}/s or more, or 100kB/s or more")
    return rate


def parse_window(text: str) -> Window:
    """ "22:00-06:00". Raises UsageError."""
    match = _WINDOW.fullmatch(text.strip())
    try:
        hours = [int(number) for number in match.groups()] if match else []
        window = Window(time(hours[0], hours[1]), time(hours[2], hours[3])) if hours else None
    except ValueError:  # 25:00
        window = None
    if window is None or window.start == window.end:
        raise UsageError(f"window is {text!r}: write two times of the day, as 22:00-06:00")
    return window
