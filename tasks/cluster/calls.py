"""Many stateless calls on Ray: in order of completion, a bounded number at a time."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from pcakd.errors import PcakdError, TransientError
from tasks.cluster.attach import cluster_cpus

T = TypeVar("T")


class WorkerLostError(TransientError):
    """The process that carried a call out died, each time it was tried.

    `call` is the call's arguments.
    """

    def __init__(self, message: str, call: tuple) -> None:
        super().__init__(message)
        self.call = call

    def __reduce__(self):  # keeps `call` when the error crosses a process boundary
        return (WorkerLostError, (str(self), self.call))


def run_all(
    function: Callable[..., T],
    calls: Iterable[tuple],
    *,
    on_loss: Callable[[tuple], T] | None = None,
    retries: int = 3,
    **resources: Any,
) -> Iterator[T]:
    """`function(*call)` on the cluster for every call, results as they come, in no particular order.

    Calls are taken from the iterable as workers become free, so it may be longer than memory. They
    must be safe to run twice. resources: of Ray's tasks (num_cpus=1, ...).
    on_loss: what to do, in this process, with a call whose worker died on every try (out of memory,
    a crash); without it WorkerLostError is raised.

    Raises what the function raises, if it is an error of the project.
    """
    import ray
    from ray.exceptions import RayError

    remote = ray.remote(**{"num_cpus": 1, "max_retries": retries, **resources})(function)
    calls = iter(calls)
    running: dict[Any, tuple] = {}
    try:
        while True:
            # Two calls a CPU: one runs, one is ready. Asked anew, since clusters grow.
            room = 2 * cluster_cpus()
            while len(running) < room and (call := next(calls, None)) is not None:
                running[remote.remote(*call)] = call
            if not running:
                return
            done, _ = ray.wait(list(running), num_returns=1)
            call = running.pop(done[0])
            try:
                result = ray.get(done[0])
            except RayError as error:
                result = _lost(error, call, on_loss)
            yield result
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _lost(error: Exception, call: tuple, on_loss: Callable[[tuple], T] | None) -> T:
    from ray.exceptions import RayTaskError

    if isinstance(error, RayTaskError):
        if isinstance(error.cause, PcakdError):
            raise error.cause from None
        raise error
    if on_loss is not None:
        return on_loss(call)
    raise WorkerLostError(f"a Ray worker died ({type(error).__name__}); the same command again goes on", call) from None
