"""What measures of drift mean: whether a training is worth it, what it begins with, what to warn of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pcakd.drift.options import DriftPolicy

ENOUGH = 30
"""Fewer new photos than that are too few for a warning by their variance: single photos differ by more."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """worth: whether to train; start: what a training begins with; why: of both, in words; warnings: in words."""

    worth: bool
    start: Literal["champion", "teacher"]
    why: str
    warnings: tuple[str, ...] = ()


def judge(record: Mapping[str, Any], policy: DriftPolicy) -> Verdict:
    """The verdict on a manifest of drift ("before" and "champion": comparisons, or None)."""
    before, champion = record.get("before"), record.get("champion")
    warnings = [text for one in (before, champion) if one for text in warnings_of(one, policy)]
    if champion is None:
        words, worth, near = str(record.get("no_champion") or "there is no champion"), True, False
    else:
        lost = champion["lost"]
        new = list(warnings_of(champion, policy))
        worth = lost > policy.worth_above or bool(new)
        near = lost <= policy.teacher_above and not new
        words = (
            f"the bases of {champion['name']} lose {lost:.2%} of the variance, "
            f"{'above' if lost > policy.worth_above else 'not above'} {policy.worth_above:.2%}"
        ) + (", and the new photos are of another kind" if new else "")
    if policy.start == "auto":
        start: Literal["champion", "teacher"] = "champion" if near else "teacher"
    else:
        start = policy.start
    if start == "champion" and champion is None:  # nothing to begin with
        start = "teacher"
    return Verdict(worth=worth, start=start, why=words, warnings=tuple(dict.fromkeys(warnings)))


def warnings_of(comparison: Mapping[str, Any], policy: DriftPolicy) -> list[str]:
    """What of a comparison is above the policy's bounds."""
    found = []
    name, new = comparison["name"], comparison["new"]["photos"]
    told = (
        ("foreign", policy.warn_above, "the bases of {name} explain {value:.1%} less of the {new:,} new photos"),
        ("colour", policy.colour_above, "the mean colour of the {new:,} photos since {name} is off by {value:.2f} SD"),
        ("size", policy.size_above, "{value:.0%} of the {new:,} photos since {name} have other sizes"),
    )
    for measure, bound, text in told:
        value = comparison[measure]
        if value is None or value <= bound or (measure == "foreign" and new < ENOUGH):
            continue
        found.append(text.format(name=name, value=value, new=new))
    return found
