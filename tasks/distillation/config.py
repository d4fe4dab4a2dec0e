"""How a distillation is spread over a Ray cluster, validated once."""

from dataclasses import dataclass
from typing import Annotated

from pcakd.errors import UsageError
from pcakd.fields import Bounds, check_fields


@dataclass(frozen=True, kw_only=True)
class RayOptions:
    """How a distillation is spread."""

    workers: Annotated[int, Bounds(1)] = 1
    """Processes that train together, on Ray where there are several; each has a part of every batch."""
    min_workers: Annotated[int | None, Bounds(1)] = None
    """Go on with as few where nodes are lost; not given: always all workers."""
    cpus: Annotated[float, Bounds(above=0)] = 1
    """CPUs, and PyTorch threads, of each worker on Ray."""
    restarts: Annotated[int, Bounds(0)] = 8
    """Worker failures after which the run gives up."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.min_workers is not None and self.min_workers > self.workers:
            raise UsageError(f"min_workers is {self.min_workers}: give 1 to workers ({self.workers})")
