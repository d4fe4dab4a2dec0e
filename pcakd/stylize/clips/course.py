"""Looks over time: which look a frame goes through."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import exp

import torch

from pcakd.stylize.look.fit import LookMoments
from pcakd.stylize.look.look import Look
from pcakd.video.clip import Mark
from pcakd.video.light import LightCourse


@dataclass(frozen=True)
class Course:
    """The looks of one shot. first: number of its first frame; times: seconds, one a look, growing; a held look is
    one. Between two, maps are mixed; before the first and after the last, they hold. light: that changes while the look
    is held, which is made for full light then; None where it does not."""

    first: int
    times: tuple[float, ...]
    looks: tuple[Look, ...]
    light: LightCourse | None = None

    def at(self, time: float) -> Look:
        """The look at a time."""
        if self.light is not None:
            return self.looks[0].lit(*self.light.at(time))
        after = bisect_right(self.times, time)
        if after == 0:
            return self.looks[0]
        if after == len(self.times):
            return self.looks[-1]
        start, stop = self.times[after - 1 : after + 1]
        before = self.looks[after - 1]
        share = (time - start) / (stop - start)
        return replace(before, grid=torch.lerp(before.grid, self.looks[after].grid, share))


@dataclass(frozen=True)
class CoursePlan:
    """The shots of a clip, in order. frames: how many there are; marks: the first frame of each segment."""

    courses: tuple[Course, ...]
    frames: int
    marks: tuple[Mark, ...]

    def look(self, number: int, time: float) -> Look:
        """The look of a frame by its number and time in seconds."""
        index = bisect_right([course.first for course in self.courses], number) - 1
        return self.courses[max(index, 0)].at(time)


def follow(times: Sequence[float], told: Sequence[LookMoments], seconds: float) -> list[LookMoments]:
    """Moments at each time, weighted over all by exp(-|distance| / seconds): from both sides, so that a look does not
    lag behind the light."""
    forward = _faded(times, told, seconds)
    backward = _faded([-time for time in reversed(times)], list(reversed(told)), seconds)[::-1]
    return [a + b + own.times(-1) for a, b, own in zip(forward, backward, told, strict=True)]


def _faded(times: Sequence[float], told: Sequence[LookMoments], seconds: float) -> list[LookMoments]:
    found = [told[0]]
    for (before, time), own in zip(pairwise(times), told[1:], strict=True):
        found.append(found[-1].times(exp((before - time) / seconds)) + own)
    return found
