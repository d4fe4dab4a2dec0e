"""The check of a choice; its error names field, value and what would do."""

from collections.abc import Iterable

from pcakd.errors import UsageError


def one_of(name: str, value: str, choices: Iterable[str]) -> None:
    """Raise UsageError for a value that is not one of the choices."""
    choices = tuple(choices)
    if value not in choices:
        raise UsageError(f"{name} is {value!r}: use one of {', '.join(choices)}")
