"""Heavy work in one thread, in order: a stylizer is not thread-safe, and two photos at once need twice the memory."""

import asyncio
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pcakd.errors import TransientError, UsageError

T = TypeVar("T")

WAITING = 64
"""Pieces of work that may wait in a lane."""


class BusyError(TransientError):
    """A lane with too much waiting in it."""


class OvertakenError(UsageError):
    """Work that was given up before its turn, because the same page has asked for something newer."""


class Lane:
    """One thread and what waits for it. Its methods are called from the event loop alone."""

    def __init__(self, name: str, limit: int = WAITING) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._limit = limit
        self._tickets = itertools.count()
        self._latest: dict[str, int] = {}
        self.waiting = 0
        """Pieces of work that wait or are being done."""

    async def do(self, work: Callable[[], T], *, whose: str | None = None) -> T:
        """The result of `work`, once its turn has come.

        whose: of several with one name only the newest is done. Raises BusyError, OvertakenError, what `work` raises.
        """
        self.check_room()
        ticket = next(self._tickets)
        if whose is not None:
            self._latest[whose] = ticket

        def turn() -> T:
            if whose is not None and self._latest.get(whose, ticket) != ticket:
                raise OvertakenError("a newer request of this page took its place")
            return work()

        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, turn)
        finally:
            self.waiting -= 1
            if whose is not None and self._latest.get(whose) == ticket:
                del self._latest[whose]

    def check_room(self) -> None:
        """Raise BusyError where no more may wait."""
        if self.waiting >= self._limit:
            raise BusyError(f"{self.waiting} others are waiting; try again in a moment")

    def close(self) -> None:
        """Let what is being done end; what waits is not begun."""
        self._thread.shutdown(cancel_futures=True)
