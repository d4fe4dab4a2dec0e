"""How a job tells how far it is, without knowing who wants to know: a bar, an artifact, nobody."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Advance = Callable[[int], None]
Progress = Callable[[str, int], AbstractContextManager[Advance]]
"""`with progress("photos", total) as advance: advance(n)`."""


def no_progress(word: str, total: int) -> AbstractContextManager[Advance]:
    """Tells nobody."""
    return nullcontext(lambda count: None)
