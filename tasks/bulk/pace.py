"""A rate that all workers keep together: one actor deals out moments, and whoever wants to read or write waits for his.

The actor has the only clock, so it does not matter how many workers there are, nor on which nodes.
"""

import time
from collections.abc import Callable
from typing import Any

from pcakd.bulk.budget import Rate


class Pace:
    """Deals out moments, so that no more than so many units a second come due. Nothing is saved up while idle."""

    def __init__(self, a_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._each, self._clock = 1 / a_second, clock
        self._next = 0.0

    def take(self, units: float) -> float:
        """The seconds to wait before so many units may be taken."""
        now = self._clock()
        start = max(now, self._next)
        self._next = start + units * self._each
        return start - now


class Paced:
    """The rate of a run. It is pickled to the workers, who find the actor by its name; the actor lives as long as the
    object that made it."""

    def __init__(self, name: str, rate: Rate, actor: Any = None) -> None:
        self.name, self.rate, self._actor = name, rate, actor

    @classmethod
    def start(cls, run: str, rate: Rate) -> "Paced":
        """On the cluster that this process is attached to."""
        import ray

        name = f"pcakd-pace-{run}"
        options = {"name": name, "num_cpus": 0, "max_restarts": -1, "max_task_retries": -1}
        return cls(name, rate, ray.remote(Pace).options(**options).remote(rate.a_second))

    def __reduce__(self) -> Any:
        return Paced, (self.name, self.rate)

    def before_read(self, size: int) -> None:
        """Wait until an object of so many bytes may be fetched."""
        self._wait(size if self.rate.of_bytes else 1)

    def before_write(self, size: int) -> None:
        """Wait until so many bytes may be written."""
        if self.rate.of_bytes:
            self._wait(size)

    def _wait(self, units: float) -> None:
        import ray

        if self._actor is None:
            self._actor = ray.get_actor(self.name)
        time.sleep(ray.get(self._actor.take.remote(units)))
