"""Checks of configuration fields; each error names field, value and what would do."""

from collections.abc import Iterable

from pcakd.errors import UsageError


def one_of(name: str, value: str, choices: Iterable[str]) -> None:
    """Raise UsageError for a value that is not one of the choices."""
    choices = tuple(choices)
    if value not in choices:
        raise UsageError(f"{name} is {value!r}: use one of {', '.join(choices)}")


def within(name: str, value: int, low: int, high: int | None = None) -> None:
    """Raise UsageError for a number out of bounds; high None: none."""
    if value < low or (high is not None and value > high):
        bound = f"{low} or more" if high is None else f"{low} to {high}"
        raise UsageError(f"{name} is {value}: give {bound}")
