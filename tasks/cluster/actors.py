"""Work spread over long-lived Ray actors: each unit is done exactly once, whatever happens to the actors."""

import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from pcakd.errors import PcakdError, TransientError

Unit = TypeVar("Unit", bound=Hashable)

MAX_ATTEMPTS = 3
"""Times that a unit is tried on actors that die under it; more would be a unit that kills them (memory)."""

START_TIMEOUT_S = 300.0
"""With no actor started for so long, the cluster has no room for one."""


def scatter(
    actors: Sequence[Any],
    start: Callable[[Any], Any],
    call: Callable[[Any, Unit], Any],
    units: Iterable[Unit],
) -> Iterator[tuple[Unit, Any]]:
    """Do every unit on some actor; (unit, result) as they finish, each unit once.

    actors: handles with `max_restarts=-1`, `max_task_retries=0`.
    start:  makes an actor fit for work, anew after each restart, by a method that has `max_task_retries=-1`; returns
            the reference of its result.
    call:   starts a unit on an actor and returns the reference of its result; the result must not depend on
            what the actor did before, so that a unit lost with its actor can be done again elsewhere.

    Raises what a unit raised (PcakdError), TransientError for a unit that lost `MAX_ATTEMPTS` actors, or where
    the cluster starts none.
    """
    return _Scattering(actors, start, call, units).results()


class _Scattering:
    """The units that wait, the actors that are idle, and what runs: a start of an actor, or a unit on it."""

    def __init__(
        self,
        actors: Sequence[Any],
        start: Callable[[Any], Any],
        call: Callable[[Any, Any], Any],
        units: Iterable[Hashable],
    ) -> None:
        self.actors, self.start, self.call = actors, start, call
        self.waiting = deque(units)
        self.idle: deque[Any] = deque()
        self.running: dict[Any, tuple[Any, Any]] = {}  # reference → (actor, its unit; None for its start)
        self.attempts: Counter[Hashable] = Counter()
        self.any_ready = False

    def results(self) -> Iterator[tuple[Any, Any]]:
        """(unit, result), as they finish."""
        import ray

        began = time.monotonic()
        self.running = {self.start(actor): (actor, None) for actor in self.actors}
        while self.waiting or any(unit is not None for _, unit in self.running.values()):
            self._hand_out()
            done, _ = ray.wait(list(self.running), num_returns=1, timeout=10)
            if not done and not self.any_ready and time.monotonic() - began > START_TIMEOUT_S:
                raise TransientError(
                    f"no worker started within {START_TIMEOUT_S:.0f} s: the Ray cluster has no free CPU or GPU for it"
                )
            for reference in done:
                actor, unit = self.running.pop(reference)
                try:
                    result = _result(reference)
                except _lost() as error:
                    self._put_back(actor, unit, error)
                    continue
                self.any_ready = True
                self.idle.append(actor)
                if unit is not None:
                    yield unit, result

    def _hand_out(self) -> None:
        """A unit to each idle actor."""
        while self.waiting and self.idle:
            actor, unit = self.idle.popleft(), self.waiting.popleft()
            self.running[self.call(actor, unit)] = (actor, unit)

    def _put_back(self, actor: Any, unit: Any, error: Exception) -> None:
        """The actor is started anew, and the unit that was lost with it is the next. Raises TransientError."""
        subject = unit if unit is not None else actor
        self.attempts[subject] += 1
        if self.attempts[subject] >= MAX_ATTEMPTS:
            what = f"{unit} lost" if unit is not None else "a worker could not be started in"
            raise TransientError(f"{what} {MAX_ATTEMPTS} workers or tries ({_first_line(error)})") from None
        if unit is not None:
            self.waiting.appendleft(unit)
        self.running[self.start(actor)] = (actor, None)


def _lost() -> tuple[type[Exception], ...]:
    """What Ray raises where an actor died, or what it made is gone."""
    from ray import exceptions

    return (
        exceptions.RayActorError,  # ActorDiedError, ActorUnavailableError
        exceptions.WorkerCrashedError,
        exceptions.NodeDiedError,
        exceptions.ObjectLostError,
        exceptions.OutOfMemoryError,
    )


def _result(reference: Any) -> Any:
    """What a call returned. Raises what it raised, if that is an error of the project."""
    import ray
    from ray.exceptions import RayTaskError

    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, PcakdError):
            raise error.cause from None
        raise


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
