"""Where a shot ends: frame by frame, from thumbnails, with three frames in hand.

A frame begins a shot where its thumbnail differs from the one before by `cut` levels in the mean, and by three times
what the frames around do: a fast pan differs much from frame to frame, too, but steadily. What is gone again within
three frames (a flash) is no cut. Dissolves and fades are none either: the look of a shot goes through them.
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

THUMBNAIL = 32
"""Longest side, pixels: things that move change few of them."""

_FACTOR = 3.0
_LATELY = 12
FLASH = 3
"""Frames after which a change that is still there is a cut."""


@dataclass
class ShotFinder:
    """Tells, thumbnail by thumbnail, where cuts are.

    cut: levels of 255. `push` answers for the frame that was pushed `FLASH` frames before.
    """

    cut: float
    _lately: deque[float] = field(default_factory=lambda: deque(maxlen=_LATELY))
    _before: np.ndarray | None = None
    _suspect: tuple[float, np.ndarray, list[float]] | None = None  # its step, the thumbnail before, the steps since

    def push(self, thumbnail: np.ndarray) -> int | None:
        """How many frames before this one a shot begins, if that is sure now; else None. thumbnail: uint8 h×w×3."""
        now = thumbnail.astype(np.float32)
        before, self._before = self._before, now
        if before is None:
            return None
        step = _difference(now, before)
        if self._suspect is not None:
            largest, old, since = self._suspect
            since.append(step)
            flash = _difference(now, old) < self.cut
            if not flash and len(since) < FLASH:
                return None
            self._suspect = None
            self._lately.extend(since[1:] if flash else since)
            return None if flash or not _stands_out(largest, since) else FLASH
        if step >= self.cut and _stands_out(step, self._lately):
            self._suspect = step, before, []
        else:
            self._lately.append(step)
        return None

    def rest(self) -> int | None:
        """At the clip's end: how many frames before its last one a shot begins, if one is suspected."""
        if self._suspect is None or not _stands_out(self._suspect[0], self._suspect[2]):
            return None
        return len(self._suspect[2])


def _stands_out(step: float, others: Collection[float]) -> bool:
    return not others or step >= _FACTOR * float(np.mean(list(others)))


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).mean())
