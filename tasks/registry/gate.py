"""Whether a new student may become the champion: floors that it must reach by itself, then the champion to hold up to.

Scores are the metrics of an evaluation. What begins with "own." is measured by the paper's transfer on the student's
features: a matched grade, which finds the right colours with any student, is no merit of one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pcakd.errors import UsageError
from pcakd.fields import Bounds, check_fields
from pcakd.student.network import LEVELS

Better = Literal["higher", "lower"]
Scores = Mapping[str, float]

AXES: dict[str, Better] = {"own.same.psnr": "higher", "own.across.psnr": "higher"}
"""Score → which way is better: fidelity where content and style show the same, and where they do not."""


@dataclass(frozen=True, kw_only=True)
class Floors:
    """What a student must reach by itself, whether there is a champion or not."""

    above_reinhard: Annotated[float, Bounds(-99, 99)] = 0.0
    """PSNR on *across*, paper's transfer, above Reinhard's of the same report, dB."""
    above_unchanged: Annotated[float, Bounds(-99, 99)] = 3.0
    """PSNR on *across*, paper's transfer, above that of the content left unchanged, dB."""
    reconstruction: Annotated[float, Bounds(0, 99)] = 30.0
    """PSNR of photos encoded and decoded, dB."""
    unexplained: tuple[float, ...] = (0.5, 0.8, 0.85, 0.9)
    """Share of the teacher's variance that may stay unexplained at levels 0 to 3, where the training measured it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "unexplained", tuple(self.unexplained))
        check_fields(self)
        if len(self.unexplained) > LEVELS or any(not limit >= 0 for limit in self.unexplained):
            raise UsageError(f"unexplained is {self.unexplained}: give up to {LEVELS} shares, 0 or more")

    def missed(self, scores: Scores, baselines: Mapping[str, Scores]) -> list[str]:
        """The floors that a student misses, in words; none: it reaches them all.

        A score that the report lacks is missed, too, but for the unexplained variance, which needs a teacher.
        """
        found = []
        across = scores.get("own.across.psnr", math.nan)
        for name, margin in (("reinhard", self.above_reinhard), ("unchanged", self.above_unchanged)):
            wanted = baselines.get(name, {}).get("across.psnr", math.nan) + margin
            if not across >= wanted:
                found.append(
                    f"across {across:.2f} dB by the paper's transfer, {name} {wanted - margin:.2f} dB"
                    + (f", wanted {margin:g} dB above it" if margin else "")
                )
        decoded = scores.get("reconstruction", math.nan)
        if not decoded >= self.reconstruction:
            found.append(f"reconstruction {decoded:.2f} dB, wanted {self.reconstruction:g}")
        for level, limit in enumerate(self.unexplained):
            left = scores.get(f"unexplained.{level}", 0.0)
            if not left <= limit:
                found.append(f"unexplained variance at level {level} {left:.3f}, at most {limit:g}")
        return found


@dataclass(frozen=True, kw_only=True)
class Gate:
    """When the champion changes: the floors are reached, and on every axis the challenger is better than the champion,
    equal, or worse by `tolerance` at most."""

    axes: Mapping[str, Better] = field(default_factory=lambda: dict(AXES))
    """Score → "higher" or "lower", whichever is better."""
    tolerance: float = 0.01
    """Share of the champion's value that the challenger may be worse by."""
    floors: Floors = field(default_factory=Floors)

    def __post_init__(self) -> None:
        if not self.axes:
            raise UsageError("axes are empty: name at least one metric")
        for name, better in self.axes.items():
            if better not in ("higher", "lower"):
                raise UsageError(f"axes: {name} is {better!r}: use higher or lower")
        if not 0 <= self.tolerance < 1:
            raise UsageError(f"tolerance is {self.tolerance}: give 0 or more, less than 1")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """passed: whether the challenger may be champion; reason: why, one sentence without its full stop.

    moved: the champion changed while the challenger was measured; against the new one it may try again.
    promoted: it has just become champion.
    """

    passed: bool
    reason: str
    moved: bool = False
    promoted: bool = False


@dataclass(frozen=True, kw_only=True)
class Rivals:
    """Whom a challenger is held against, measured on the same photos as it.

    champion: None where there is none. set_back: the version that was rolled back from, while nothing has been promoted
    since; a version must be clearly better than it, or the next run would bring back what a person has just taken away.
    """

    champion: Scores | None = None
    champion_version: int | None = None
    set_back: Scores | None = None
    set_back_version: int | None = None


def decide(challenger: Scores, baselines: Mapping[str, Scores], rivals: Rivals, gate: Gate) -> Decision:
    """Hold a challenger's scores against the floors and its rivals.

    baselines: name → scores of the same report. Raises UsageError for an axis that was not measured.
    """
    if missed := gate.floors.missed(challenger, baselines):
        return Decision(passed=False, reason=f"misses a floor: {'; '.join(missed)}")
    if rivals.champion is None:
        return Decision(passed=True, reason="reaches every floor, and there is no champion yet")
    worse, _ = _compared(challenger, rivals.champion, "champion", gate)
    if worse:
        return Decision(
            passed=False, reason=f"worse than the champion by more than {gate.tolerance:g}: {', '.join(worse)}"
        )
    if rivals.set_back is not None:
        worse, better = _compared(challenger, rivals.set_back, "version rolled back from", gate)
        if worse or not better:
            return Decision(
                passed=False,
                reason=f"version {rivals.set_back_version} was rolled back from, and this one is not better than it by "
                f"more than {gate.tolerance:g} on any axis" + (f", worse on {', '.join(worse)}" if worse else ""),
            )
    return Decision(passed=True, reason="reaches every floor, and is as good as the champion or better on every axis")


def _compared(ours: Scores, theirs: Scores, who: str, gate: Gate) -> tuple[list[str], list[str]]:
    """The axes that we are worse on and those that we are better on, by more than the tolerance."""
    worse, better = [], []
    for name, way in gate.axes.items():
        for whose, scores in (("challenger", ours), (who, theirs)):
            if name not in scores:
                raise UsageError(f"axes: {name} was not measured of the {whose}; measured are {', '.join(scores)}")
        gain = ours[name] - theirs[name] if way == "higher" else theirs[name] - ours[name]
        allowed = gate.tolerance * abs(theirs[name])
        if not gain >= -allowed:  # a value that is not a number fails, too
            worse.append(f"{name} {ours[name]:.4g} against {theirs[name]:.4g}")
        elif gain > allowed:
            better.append(name)
    return worse, better
