"""Two models on the same pairs of photos, side by side, and what people say of them."""

import secrets
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Any

from pcakd.errors import NotFoundError, UsageError

CHOICES = ("left", "right", "same")
OPEN_PAIRS = 500
"""Pairs that are shown and not judged yet; the oldest go first."""
VOTERS = 500
MOST_VOTES = 5_000
"""Of one page."""


@dataclass(frozen=True, kw_only=True)
class ComparedPair:
    """One content in one style by two models. pictures: JPEGs, in the order of `models`: left, right."""

    content: str
    style: str
    models: tuple[str, str]
    blind: bool
    pictures: tuple[bytes, bytes] = field(repr=False)


class Comparisons:
    """Pairs that wait for a vote, and the votes of each page."""

    def __init__(self) -> None:
        self._pairs: OrderedDict[str, ComparedPair] = OrderedDict()
        self._votes: OrderedDict[str, list[dict[str, Any]]] = OrderedDict()

    def add(self, pair: ComparedPair) -> str:
        """Show a pair; its id."""
        id = secrets.token_urlsafe(16)
        self._pairs[id] = pair
        while len(self._pairs) > OPEN_PAIRS:
            self._pairs.popitem(last=False)
        return id

    def pair(self, id: str) -> ComparedPair:
        """Raises NotFoundError."""
        if id not in self._pairs:
            raise NotFoundError("this pair is not here any more; show another")
        return self._pairs[id]

    def vote(self, voter: str, id: str, choice: str) -> ComparedPair:
        """Count a vote; the pair, so that its models can be named now. A pair takes one. Raises UsageError."""
        if choice not in CHOICES:
            raise UsageError(f"a vote is one of {', '.join(CHOICES)}")
        pair = self.pair(id)
        votes = self._votes.setdefault(voter, [])
        if len(votes) >= MOST_VOTES:
            raise UsageError("so many votes are enough: save them")
        del self._pairs[id]
        preferred = "same" if choice == "same" else pair.models[CHOICES.index(choice)]
        left, right = pair.models
        votes.append(
            {"content": pair.content, "style": pair.style, "left": left, "right": right}
            | {"choice": choice, "preferred": preferred, "blind": pair.blind}
        )
        self._votes.move_to_end(voter)
        while len(self._votes) > VOTERS:
            self._votes.popitem(last=False)
        return pair

    def votes(self, voter: str) -> list[dict[str, Any]]:
        """A row for each vote of a page."""
        return self._votes.get(voter, [])

    def counts(self, voter: str) -> dict[str, int]:
        """Model, or "same" → votes."""
        return dict(Counter(vote["preferred"] for vote in self.votes(voter)))

    def forget(self, voter: str) -> None:
        """Begin to count anew."""
        self._votes.pop(voter, None)


def shuffled(models: tuple[str, str]) -> tuple[str, str]:
    """The two in an order that nobody can foresee."""
    return models if secrets.randbelow(2) else (models[1], models[0])
