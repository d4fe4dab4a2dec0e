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
    import ray
    from ray import exceptions

    lost = (
        exceptions.RayActorError,  # ActorDiedError, ActorUnavailableError
        exceptions.WorkerCrashedError,
        exceptions.NodeDiedError,
        exceptions.ObjectLostError,
        exceptions.OutOfMemoryError,
    )
    waiting = deque(units)
    attempts: Counter[Hashable] = Counter()
    idle: deque[Any] = deque()
    running: dict[Any, tuple[Any, Unit | None]] = {start(actor): (actor, None) for actor in actors}
    started, any_ready = time.monotonic(), False
    busy = 0
    while waiting or busy:
        while waiting and idle:
            actor, unit = idle.popleft(), waiting.popleft()
            running[call(actor, unit)] = (actor, unit)
            busy += 1
        done, _ = ray.wait(list(running), num_returns=1, timeout=10)
        if not done and not any_ready and time.monotonic() - started > START_TIMEOUT_S:
            raise TransientError(
                f"no worker started within {START_TIMEOUT_S:.0f} s: the Ray cluster has no free CPU or GPU for it"
            )
        for reference in done:
            actor, finished = running.pop(reference)
            busy -= finished is not None
            try:
                result = ray.get(reference)
            except lost as error:
                subject = finished if finished is not None else actor
                attempts[subject] += 1
                if attempts[subject] >= MAX_ATTEMPTS:
                    what = f"{finished} lost" if finished is not None else "a worker could not be started in"
                    raise TransientError(f"{what} {MAX_ATTEMPTS} workers or tries ({_first_line(error)})") from None
                if finished is not None:
                    waiting.appendleft(finished)
                running[start(actor)] = (actor, None)
                continue
            except exceptions.RayTaskError as error:
                if isinstance(error.cause, PcakdError):
                    raise error.cause from None
                raise
            any_ready = True
            idle.append(actor)
            if finished is not None:
                yield finished, result


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
