"""How a driver hears of the steps that are trained on another node."""

import math
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from pcakd.errors import PcakdError

if TYPE_CHECKING:  # the inbox has no need of PyTorch, which takes seconds to import
    from pcakd.distillation.trainer import StepReport

TELL_EVERY_S = 1.0


class Inbox:
    """A small Ray actor beside the driver, where the first worker leaves pickled reports."""

    def __init__(self) -> None:
        self.reports: list[bytes] = []

    def put(self, report: bytes) -> None:
        self.reports.append(report)

    def take(self) -> list[bytes]:
        """What has come since the last call."""
        reports, self.reports = self.reports, []
        return reports


@contextmanager
def listening(on_step: "Callable[[StepReport], None] | None") -> Iterator[Any]:
    """An inbox, for `teller`, that a thread of this process empties into `on_step`; None where nobody wants to hear."""
    if on_step is None:
        yield None
        return
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = ray.remote(Inbox)
    inbox = actor.options(num_cpus=0, scheduling_strategy=here).remote()
    over = threading.Event()

    def listen() -> None:
        # A report that cannot be told must not end a training; who may not go on is told by `check`.
        with suppress(ray.exceptions.RayError, PcakdError):
            while not over.wait(TELL_EVERY_S):
                hear()
            hear()

    def hear() -> None:
        for report in ray.get(inbox.take.remote()):
            on_step(pickle.loads(report))

    thread = threading.Thread(target=copy_context().run, args=(listen,), name="pcakd-training", daemon=True)
    thread.start()
    try:
        yield inbox
    finally:
        over.set()
        thread.join()
        ray.kill(inbox)


def teller(inbox: Any, steps: int) -> "Callable[[StepReport], None] | None":
    """What the first worker calls after each step; None where nobody listens.

    It leaves in the inbox the steps with a validation, the last of all `steps`, about one a second of the others.
    """
    if inbox is None:
        return None
    import ray

    told = -math.inf

    def tell(report: "StepReport") -> None:
        nonlocal told
        if not report.validation and report.step < steps and time.monotonic() - told < TELL_EVERY_S:
            return
        told = time.monotonic()
        sent = inbox.put.remote(pickle.dumps(report))
        if report.step == steps:
            ray.get(sent)  # the driver looks a last time when this worker has ended

    return tell
