"""The styles of a job: what is written as PLACE or NAME=PLACE becomes named styles of one photo or several."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pcakd.checks import one_of
from pcakd.errors import UsageError

Combine = Literal["each", "mix"]
COMBINES: tuple[Combine, ...] = ("each", "mix")
MIX = "mix"
"""The name of the one style that `combine = "mix"` makes."""

Group = list[tuple[str, float]]
"""The places that are pooled into one style, each with its weight."""

_NAMED = re.compile(r"([\w.-]+)=(.*)", re.DOTALL)
_NAME = re.compile(r"\w[\w.-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class StyleSpec:
    """One style. photos: local paths or s3:// addresses; weights: how much each counts, in their order."""

    name: str
    photos: tuple[str, ...]
    weights: tuple[float, ...]


def parse_styles(styles: Sequence[str], combine: Combine, weights: Sequence[float]) -> dict[str, StyleSpec]:
    """Name → style, sorted by name.

    "each": every PLACE is a style called like its file without suffix; places of one NAME are pooled.
    "mix": all places are pooled into one style called "mix". weights: one a place, for what is pooled;
    empty: equal. Raises UsageError.
    """
    if not styles:
        raise UsageError("styles are empty: give at least one style photo")
    one_of("combine", combine, COMBINES)
    _check_weights(weights, len(styles))
    groups = _grouped(styles, weights or [1.0] * len(styles), combine)
    _check_pooled(groups, weighted=bool(weights))
    return {
        name: StyleSpec(name=name, photos=tuple(p for p, _ in group), weights=tuple(w for _, w in group))
        for name, group in sorted(groups.items())
    }


def _check_weights(weights: Sequence[float], count: int) -> None:
    if weights and len(weights) != count:
        raise UsageError(f"weights are {len(weights)} for {count} styles: give one each, or none")
    if any(not 0 <= weight < float("inf") for weight in weights):
        raise UsageError(f"weights are {', '.join(f'{w:g}' for w in weights)}: give numbers of 0 or more")


def _grouped(styles: Sequence[str], weights: Sequence[float], combine: Combine) -> dict[str, Group]:
    """Name → its places, each with its weight."""
    groups: dict[str, Group] = {}
    named: set[str] = set()
    for written, weight in zip(styles, weights, strict=True):
        # A path may have an equals sign in it, as folders of partitions do.
        explicit = None if os.path.isfile(written) else _NAMED.fullmatch(written)
        name, place = (explicit[1], explicit[2]) if explicit else (_name_of(written), written)
        if not place:
            raise UsageError(f"styles has {written!r}: has no photo; write PLACE or NAME=PLACE")
        if combine == MIX:
            name = MIX
        else:
            _check_name(name, there=name in groups, pooled=bool(explicit) and name in named)
        if explicit:
            named.add(name)
        groups.setdefault(name, []).append((place, float(weight)))
    return groups


def _check_name(name: str, *, there: bool, pooled: bool) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"styles has the name {name!r}: use letters, digits, '.', '_' and '-', at most 64")
    if there and not pooled:
        raise UsageError(f"styles has two called {name!r}: write NAME=PLACE to tell them apart")


def _check_pooled(groups: dict[str, Group], *, weighted: bool) -> None:
    if weighted and all(len(group) == 1 for group in groups.values()):
        raise UsageError('weights count where photos are pooled: set combine to "mix", or give photos the same NAME')
    for name, group in groups.items():
        if not sum(weight for _, weight in group):
            raise UsageError(f"weights of style {name!r} are all 0")


def _name_of(place: str) -> str:
    stem = re.sub(r"\.\w+$", "", place.rstrip("/").rpartition("/")[2])
    return re.sub(r"[^\w.-]+", "-", stem)[:64].lstrip(".-") or "style"
