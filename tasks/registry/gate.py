"""Whether a new student may become the champion."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pcakd.errors import UsageError

Better = Literal["higher", "lower"]

AXES: dict[str, Better] = {"own.same.psnr": "higher", "own.across.psnr": "higher"}
"""Metric → which way is better: fidelity where content and style show the same, and where they do not, of the paper's
transfer on the student's own features: a matched grade makes any student look good."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """When the champion changes: on every axis the challenger is better, equal, or worse by `tolerance` at most."""

    axes: Mapping[str, Better] = field(default_factory=lambda: dict(AXES))
    """Metric → "higher" or "lower", whichever is better."""
    tolerance: float = 0.01
    """Share of the champion's value that the challenger may be worse by."""

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
    """passed: whether the challenger may be champion; reason: why, one sentence."""

    passed: bool
    reason: str


def decide(challenger: Mapping[str, float], champion: Mapping[str, float] | None, gate: Gate) -> Decision:
    """Hold a challenger's metrics against the champion's, both measured on the same photos.

    champion: None where there is none yet. Raises UsageError for a metric that was not measured.
    """
    if champion is None:
        return Decision(passed=True, reason="there is no champion yet")
    worse = []
    for name, better in gate.axes.items():
        for who, metrics in (("challenger", challenger), ("champion", champion)):
            if name not in metrics:
                raise UsageError(f"axes: {name} was not measured of the {who}; measured are {', '.join(metrics)}")
        new, old = challenger[name], champion[name]
        loss = old - new if better == "higher" else new - old
        if not loss <= gate.tolerance * abs(old):  # a value that is not a number fails, too
            worse.append(f"{name} {new:.4g} against {old:.4g}")
    if worse:
        return Decision(
            passed=False, reason=f"worse than the champion by more than {gate.tolerance:g}: {', '.join(worse)}"
        )
    return Decision(passed=True, reason="as good as the champion or better on every axis")
