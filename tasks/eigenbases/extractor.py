"""The Ray actor that keeps a teacher in memory and turns pieces of shards into moments."""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import ray
import torch

from pcakd.eigenbases.extraction import Extraction, accumulate
from pcakd.eigenbases.pca import Moments
from pcakd.errors import PhotoError
from pcakd.photos.images import read_photo
from pcakd.storage import Storage
from pcakd.teacher import Teacher
from tasks.cluster.attach import cluster_cpus, cluster_gpus
from tasks.eigenbases.pieces import Piece, piece_rows

UNREADABLE = "unreadable"


class Extractor:
    """One worker, made a Ray actor by `extractors`.

    Its methods depend on their arguments alone, so a piece that is lost with a worker can be done again.
    """

    def __init__(self, shards: Storage, extraction: Extraction, threads: int, device: str) -> None:
        torch.set_num_threads(threads)
        self.shards = shards
        self.extraction = extraction
        self.device = device
        self.teacher: Teacher | None = None
        # Beside a GPU one decoding thread cannot keep up; on a CPU the forward pass wants the core itself.
        self.decoders = ThreadPoolExecutor(max(2, threads)) if device == "cuda" else None

    @ray.method(max_task_retries=-1)
    def start(self, teacher: Teacher) -> int:
        """Take the teacher in; process id. To be called first, and again when Ray has restarted the actor."""
        self.teacher = teacher.to(self.device)
        return os.getpid()

    def moments(self, piece: Piece) -> tuple[Moments, dict[str, int]]:
        """Moments of a piece's photos, and how many were left out by reason."""
        assert self.teacher is not None
        unreadable: Counter[str] = Counter()
        moments, left_out = accumulate(self._photos(piece, unreadable), self.teacher, self.extraction)
        return moments, dict(left_out + unreadable)

    def _photos(self, piece: Piece, unreadable: Counter[str]) -> Iterator[tuple[str, np.ndarray]]:
        rows = piece_rows(self.shards, piece)
        decoded = self._ahead(rows) if self.decoders else map(_decode, rows)
        for key, rgb in decoded:
            if rgb is None:
                unreadable[UNREADABLE] += 1
            else:
                yield key, rgb

    def _ahead(self, rows: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, np.ndarray | None]]:
        """Decoded photos in order, at most 64 ahead of their use."""
        assert self.decoders is not None
        pending = [self.decoders.submit(_decode, row) for row in islice(rows, 64)]
        while pending:
            first = pending.pop(0)
            pending += [self.decoders.submit(_decode, row) for row in islice(rows, 1)]
            yield first.result()


@dataclass(frozen=True)
class Extractors:
    """Actors, and the teacher that they share, in Ray's object store."""

    actors: list[Any]
    teacher: Any

    def start(self, actor: Any) -> Any:
        return actor.start.remote(self.teacher)


@contextmanager
def extractors(
    teacher: Teacher, shards: Storage, extraction: Extraction, *, workers: int | None = None, threads: int = 1
) -> Iterator[Extractors]:
    """Actors on the cluster, by default one for each GPU, or without any one for each `threads` CPUs.

    They end with the block.
    """
    gpus = cluster_gpus()
    count = workers or gpus or max(1, cluster_cpus() // threads)
    resources = {"num_cpus": threads, "num_gpus": 1 if gpus else 0, "max_restarts": -1, "max_task_retries": 0}
    actor_class: Any = ray.remote(Extractor).options(**resources)
    device = "cuda" if gpus else "cpu"
    pool = Extractors(
        [actor_class.remote(shards, extraction, threads, device) for _ in range(count)],
        ray.put(teacher),
    )
    try:
        yield pool
    finally:
        for actor in pool.actors:
            ray.kill(actor)


def _decode(row: tuple[str, bytes]) -> tuple[str, np.ndarray | None]:
    try:
        return row[0], read_photo(row[1], name=row[0]).rgb8
    except PhotoError:
        return row[0], None
