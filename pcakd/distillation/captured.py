"""Training steps as CUDA graphs: what a step launches, thousands of small kernels, goes to the GPU as one."""

import logging
from collections import Counter
from collections.abc import Callable
from threading import Lock

import torch
from torch import Tensor

from pcakd.distillation.objective import Batch

logger = logging.getLogger(__name__)

WARM = 3
"""Steps of each kind that are taken one kernel at a time: libraries choose their algorithms, optimizers make room."""

_CAPTURING = Lock()
"""Held while a step is captured: trainings that share a process take turns at it."""

Work = Callable[[Batch], dict[str, Tensor]]
"""A step, from its batch to its losses, the update of the weights included; it waits for nothing on the GPU."""


class CapturedSteps:
    """Does `work`, and once it is warm repeats what was captured of it, for each shape of batch by itself."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._seen: Counter[tuple] = Counter()
        self._captured: dict[tuple, _Captured] = {}
        self._side = torch.cuda.Stream()
        self._given_up = False

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        kind = tuple(part.shape if isinstance(part, Tensor) else part for part in batch)
        if kind in self._captured:
            return self._captured[kind](batch)
        self._seen[kind] += 1
        if self._seen[kind] <= WARM or self._given_up:
            return self._aside(batch)
        try:
            self._captured[kind] = _Captured(self.work, batch)
        except RuntimeError as error:
            self._given_up = True
            logger.warning("training goes on without CUDA graphs: %s", str(error).splitlines()[0])
            return self._aside(batch)
        return self._captured[kind](batch)

    def _aside(self, batch: Batch) -> dict[str, Tensor]:
        """On a stream of its own, as what is captured later must not lean on work of the main one."""
        main = torch.cuda.current_stream()
        self._side.wait_stream(main)
        with torch.cuda.stream(self._side):
            losses = self.work(batch)
        main.wait_stream(self._side)
        return losses


class _Captured:
    """One step's graph, with the memory that its batch is copied to."""

    def __init__(self, work: Work, batch: Batch) -> None:
        self.batch = Batch._make(part.clone() if isinstance(part, Tensor) else part for part in batch)
        self.graph = torch.cuda.CUDAGraph()
        # A stream of its own, as libraries keep workspaces by stream, and other trainings in this process replay
        # theirs meanwhile; another thread draws crops.
        stream = torch.cuda.Stream()
        with _CAPTURING, torch.cuda.graph(self.graph, stream=stream, capture_error_mode="thread_local"):
            self.losses = work(self.batch)

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        for ours, theirs in zip(self.batch, batch, strict=True):
            if isinstance(ours, Tensor) and isinstance(theirs, Tensor):
                ours.copy_(theirs, non_blocking=True)
        self.graph.replay()
        return self.losses
