"""Light that changes while a shot lasts: measured from thumbnail to thumbnail, apart from what moves.

Between two frames a pixel changes by light and by motion: B - A = s·M - u·∂M/∂x - v·∂M/∂y, M being the mean of both
(Negahdaripour 1998, generalised brightness constancy, without its offset). s is the same for all pixels of a channel,
(u, v) an affine function of place, as a camera that pans, turns or comes nearer has it; things that move otherwise are
outliers, and do not count. So a pan into a darker corner is no change of light, and neither is somebody who walks by.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pcakd.luma import REC_601

EVERY_S = 0.1
"""Seconds between frames that are compared: the steps of slow light are larger than the thumbnails' rounding then, and
motion is still small."""

LEAST = 0.2
"""A shot's light counts as changing where its brightest is brighter than its darkest by this, as a natural logarithm:
below, a look is held, to the bit."""

SMOOTHED_S = 0.2
"""The measured course is smoothed over this, seconds, sigma."""

BRIGHTEST = 0.9
"""Quantile of the shot's light that counts as its full light: flashes are above."""

DARKEST = 1 / 16
"""Light that is weaker, as a share of the full light, counts as this."""

MOST_CAST = 2.5
"""A channel's light differs from the whole's by this factor at most."""

UNKNOWN = np.full(3, np.nan)
"""A step of which nothing can be told."""

GAP_S = 1.0
"""Over unknown steps of at most this, seconds, light goes on as before and after; longer, it stays."""

_DARK, _BRIGHT = 6.0, 249.0  # levels: outside, a pixel does not say how much light there is
_FEWEST = 60  # pixels
_OUTLIER = 2.5  # robust standard deviations
_NOISE = 1.0  # levels that a typical pixel may miss in any case
_MISSED = 0.4  # share of its change that it may miss
_FARTHEST = 3.0  # pixels of a thumbnail that it may have moved: slopes do not reach farther
_ROUNDS = 4


@dataclass(frozen=True)
class Lit:
    """What a frame tells of its light. time: seconds; step: float64 (3,), natural logarithm of the change of red, green
    and blue light since the one before, `UNKNOWN` where that cannot be told, as at a cut."""

    time: float
    step: np.ndarray


class LightMeter:
    """Measures light from thumbnail to thumbnail, `EVERY_S` apart."""

    def __init__(self) -> None:
        self._before: np.ndarray | None = None
        self._time = -math.inf

    def push(self, thumbnail: np.ndarray, time: float) -> Lit | None:
        """Of a frame's thumbnail, uint8 h×w×3, at a time, seconds; None for a frame too near to the one before."""
        if 0 <= time - self._time < EVERY_S:
            return None
        now, self._time = thumbnail.astype(np.float64), time
        before, self._before = self._before, now
        step = UNKNOWN if before is None else change_of_light(before, now)
        return Lit(time, step)


def change_of_light(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """float64 (3,): logarithm of the change of each channel's light between two pictures h×w×3, levels of 255;
    `UNKNOWN` where most pixels changed by something else, or there are too few to tell."""
    if min(now.shape[:2]) < 3:
        return UNKNOWN
    before, now = _blurred(before), _blurred(now)
    mean = (before + now) / 2
    down, across = np.gradient(mean, axis=(0, 1))
    y, x = np.mgrid[-1 : 1 : mean.shape[0] * 1j, -1 : 1 : mean.shape[1] * 1j][..., None]
    light = mean[..., None] * np.eye(3)
    motion = [slope * place for slope in (across, down) for place in (np.ones_like(x), x, y)]
    design = np.concatenate([light, np.stack(motion, -1)], -1)
    both = np.stack([before, now])
    known = np.asarray(((both > _DARK) & (both < _BRIGHT)).all((0, 3)))
    known[[0, -1]] = known[:, [0, -1]] = False  # slopes are one-sided there
    if known.sum() < _FEWEST:
        return UNKNOWN
    rows, wanted = design[known].reshape(-1, 9), (now - before)[known].ravel()
    weights = np.ones(len(wanted))
    for _ in range(_ROUNDS):
        weighted = rows * weights[:, None]
        found = np.linalg.lstsq(weighted.T @ rows, weighted.T @ wanted, rcond=1e-9)[0]
        misses = np.abs(wanted - rows @ found)
        # Thumbnails are rounded to levels: less than that is no miss.
        near = _OUTLIER * max(1.4826 * float(np.median(misses)), 0.5)
        weights = np.clip(1 - (misses / (2 * near)) ** 2, 0, None) ** 2
    if np.median(misses) > max(_NOISE, _MISSED * np.median(np.abs(wanted))):
        return UNKNOWN
    moved = np.abs(found[3:].reshape(2, 3)).sum(1).max()
    if moved > _FARTHEST:
        return UNKNOWN
    return 2 * np.arctanh(np.clip(found[:3] / 2, -0.9, 0.9))


def _blurred(picture: np.ndarray) -> np.ndarray:
    """By (1, 2, 1) / 4 both ways: slopes of what is left tell what motion does."""
    for axis in (0, 1):
        edges = [(1, 1) if one == axis else (0, 0) for one in range(3)]
        padded = np.moveaxis(np.pad(picture, edges, "edge"), axis, 0)
        picture = np.moveaxis((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4, 0, axis)
    return picture


@dataclass(frozen=True)
class LightCourse:
    """The light of a shot over time. times: seconds, growing; gains: float64 (times, 3), red, green and blue light as
    shares of the shot's full light."""

    times: np.ndarray
    gains: np.ndarray

    def at(self, time: float) -> np.ndarray:
        """float64 (3,): the light at a time; before the first and after the last, it holds."""
        return np.array([np.interp(time, self.times, channel) for channel in self.gains.T])

    @classmethod
    def of(cls, shot: Sequence[Lit]) -> "LightCourse | None":
        """What a shot's frames tell; None where light hardly changes. The first one's step, from the shot before, does
        not count."""
        if len(shot) < 3:
            return None
        times = np.array([lit.time for lit in shot])
        if (np.diff(times) <= 0).any():
            return None
        course = _smoothed(times, _added(times, np.array([lit.step for lit in shot[1:]])))
        whole = np.log(np.exp(course) @ REC_601)
        if np.ptp(whole) < LEAST:
            return None
        full = np.argmin(np.abs(whole - np.quantile(whole, BRIGHTEST)))
        course, whole = course - course[full], whole - whole[full]
        whole = np.maximum(whole, np.log(DARKEST))[:, None]
        cast = np.clip(course - whole, -np.log(MOST_CAST), np.log(MOST_CAST))
        return cls(times, np.exp(whole + cast))


def _added(times: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Light (times, 3), as a logarithm, from its steps (times - 1, 3), some of them unknown."""
    ends, spans = times[1:], np.diff(times)
    known = np.isfinite(steps).all(1)
    rates = np.zeros_like(steps)
    if known.any():
        before = np.maximum.accumulate(np.where(known, ends, -np.inf))
        after = np.minimum.accumulate(np.where(known, ends, np.inf)[::-1])[::-1]
        told = steps[known] / spans[known, None]
        between = np.stack([np.interp(ends, ends[known], channel) for channel in told.T], -1)
        rates = np.where((after - before <= GAP_S)[:, None], between, 0)
    return np.concatenate([np.zeros((1, 3)), np.cumsum(rates * spans[:, None], 0)])


def _smoothed(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """values (times, 3) by straight lines that fit those around best."""
    first = np.searchsorted(times, times - 3 * SMOOTHED_S, "left")
    last = np.searchsorted(times, times + 3 * SMOOTHED_S, "right")
    found = np.empty_like(values)
    for number, (start, stop) in enumerate(zip(first, last, strict=True)):
        away = times[start:stop] - times[number]
        weight = np.exp(-0.5 * (away / SMOOTHED_S) ** 2)
        line = np.stack([np.ones_like(away), away], -1)
        weighted = line * weight[:, None]
        found[number] = np.linalg.lstsq(weighted.T @ line, weighted.T @ values[start:stop], rcond=1e-9)[0][0]
    return found
