"""The chain on Ray Data: fetch and decode → stylize → encode and put; rows come back as they are finished.

    for rows in Chain(work, checkpoint, styles, shares, looks).run(items):      # None where nothing came for a moment
        ...

A block whose worker dies is tried again by Ray; one that loses `RETRIES` workers more is left out, and its
items simply have no row at the end.
"""

import logging
import queue
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pcakd.errors import TransientError
from pcakd.stylize.engine.memory import DEFAULT_LIMIT
from tasks.bulk.carried import CHUNK_ITEMS, YIELD_BYTES, Row, unpack_rows
from tasks.bulk.workers import Stylize, Work, fetch, store

BLOCK_ITEMS = 16
BLOCK_BYTES = 512 << 10
"""A block: so many items, or so many encoded bytes. Each costs Ray about 10 ms in all; but of blocks whose pixels
are a tenth of the object store's share, Ray Data's backpressure lets only one stylizer work at a time."""

BLOCKS_EACH = 4
"""Few items are cut into so many blocks for each stylizer, so that all have work until the end."""

CHUNK_EACH = 1_000
"""Items that go to Ray at a time, at least, for each stylizer: workers start anew for the next ones."""

RETRIES = 2
"""Times that Ray tries a block again whose worker died."""

POLL_S = 0.2
CLOSE_S = 3.0

Results = queue.Queue[list[Row] | Exception | None]


@dataclass(frozen=True, kw_only=True)
class ClusterShares:
    """How the cluster is shared out.

    stylizers: actors; threads: of each; gpus, cpus: of each, as Ray counts them.
    helpers:   tasks at a time that fetch, and that store; helper_cpus: of each.
    settings:  device, precision and memory_limit of the stylizers.
    """

    stylizers: int
    threads: int
    gpus: float
    cpus: float
    helpers: int
    helper_cpus: float
    settings: dict[str, Any]

    @classmethod
    def for_cluster(
        cls,
        cpus: int,
        gpus: int,
        memory: int,
        *,
        items: int,
        workers: int | None,
        device: str,
        settings: dict[str, Any],
    ) -> "ClusterShares":
        """As many stylizers as there are GPUs, else CPUs, if `memory` (bytes) has room for them, and items.

        A quarter of the CPUs' shares for the stylizers, a quarter for the rest: shares only say how many fit, the
        kernel deals out the CPUs. So two jobs at once on one cluster do not starve each other."""
        on_gpu = gpus > 0 and device != "cpu"
        room = max(1, memory // (settings["memory_limit"] or DEFAULT_LIMIT))
        stylizers = min(workers or (gpus if on_gpu else min(cpus, room)), items)
        helpers = max(1, cpus // (2 if on_gpu else 4))
        return cls(
            stylizers=stylizers,
            threads=max(1, cpus // stylizers),
            gpus=gpus / stylizers if on_gpu else 0,
            cpus=_share(cpus / 4 / stylizers),
            helpers=helpers,
            helper_cpus=_share(cpus / 8 / helpers),
            settings={**settings, "device": "cuda" if on_gpu else "cpu"},
        )


def _share(cpus: float) -> float:
    """Ray counts fractions below 1 in ten-thousandths, and above 1 whole CPUs only."""
    return int(cpus) if cpus >= 1 else max(0.001, int(cpus * 1000) / 1000)


class Chain:
    """The job's chain on the cluster that this process is attached to."""

    def __init__(
        self, work: Work, checkpoint: Any, styles: dict[str, Any], shares: ClusterShares, looks: dict[str, Any]
    ) -> None:
        import ray

        self.work, self.shares = work, shares
        self.room = max(CHUNK_ITEMS, CHUNK_EACH * shares.stylizers)
        """Items that it takes at a time."""
        self.late: list[Row] = []
        """Rows that came while the loop over `run` was being left: their results are in place."""
        self._reference = ray.put((checkpoint, styles, looks))
        # As bytes: Ray warns of references among an actor's arguments, since whoever drops them breaks its restarts.
        self._shared = ray.cloudpickle.dumps(self._reference)

    def run(self, items: pa.Table, *, alone: bool = False) -> Iterator[list[Row] | None]:
        """Rows of the items as they come, in no order; None now and then where nothing came.

        alone: one item at a time on an actor, so that an item which ends it takes no other along.
        Leaving the loop ends the work; what was finished meanwhile is in `late` then. Raises TransientError when Ray
        itself gives up.
        """
        most = 1 if alone else items_of_a_block(len(items), self.shares.stylizers)
        blocks = [pack_items(block) for block in cut_into_blocks(items, most)]
        rows: Results = queue.Queue(maxsize=64)
        over = threading.Event()
        thread = threading.Thread(target=self._consume, args=(blocks, alone, rows, over), name="bulk-rows", daemon=True)
        thread.start()
        try:
            while True:
                try:
                    got = rows.get(timeout=POLL_S)
                except queue.Empty:
                    yield None
                    continue
                if got is None:
                    return
                if isinstance(got, Exception):
                    raise TransientError(f"Ray gave up ({_first_line(got)}); the same command goes on") from None
                yield got
        finally:
            over.set()
            # The thread sees this when the next block comes; that is not waited for while a large photo is worked on.
            deadline = time.monotonic() + CLOSE_S
            while (thread.is_alive() or not rows.empty()) and time.monotonic() < deadline:
                with suppress(queue.Empty):
                    got = rows.get(timeout=0.1)
                    self.late += got if isinstance(got, list) else []

    def _consume(
        self,
        blocks: list[bytes],
        alone: bool,
        rows: "queue.Queue[list[Row] | Exception | None]",
        over: threading.Event,
    ) -> None:
        try:
            dataset = self._dataset(blocks, alone)
            batches = iter(dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0))
            for table in batches:
                rows.put(unpack_rows(table))
                if over.is_set():
                    return
            rows.put(None)
        except Exception as error:
            rows.put(error)

    def _dataset(self, blocks: list[bytes], alone: bool) -> Any:
        import ray.data
        from ray.data import ActorPoolStrategy, DataContext, TaskPoolStrategy

        _quiet()
        context = DataContext.get_current().copy()
        context.max_errored_blocks = -1
        context.target_max_block_size = 2 * YIELD_BYTES
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        shares = self.shares
        stylizers = min(shares.stylizers, len(blocks))
        blockwise: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow", "zero_copy_batch": True}
        helper: dict[str, Any] = {
            **blockwise,
            "fn_kwargs": {"work": self.work},
            "compute": TaskPoolStrategy(shares.helpers),
            "num_cpus": shares.helper_cpus,
            "max_retries": RETRIES,
        }
        with DataContext.current(context), warnings.catch_warnings():
            # Retries have no named parameters yet, and Ray Data's own defaults try for ever.
            warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
            # Not from_arrow: it has a worker look at every block before any is worked on, and keeps 40 kB of each.
            packed = [{"items": block} for block in blocks]
            dataset: Any = ray.data.from_items(packed, override_num_blocks=len(packed))
            dataset = dataset.map_batches(fetch_packed, **helper)
            dataset = dataset.map_batches(
                Stylize,
                fn_constructor_args=(self.work, self._shared, shares.threads, shares.settings),
                compute=ActorPoolStrategy(size=stylizers, max_tasks_in_flight_per_actor=1 if alone else 2),
                num_cpus=shares.cpus,
                num_gpus=shares.gpus,
                max_restarts=-1,
                max_task_retries=RETRIES,
                **blockwise,
            )
            return dataset.map_batches(store, **helper)


def pack_items(table: pa.Table) -> bytes:
    """A table as bytes. Not pickled: of a slice that takes along all that it is a slice of."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def fetch_packed(table: pa.Table, work: Work) -> Iterator[pa.Table]:
    """`fetch` of items that `pack_items` has packed."""
    for packed in table["items"]:
        yield from fetch(pa.ipc.open_stream(packed.as_buffer()).read_all(), work)


def items_of_a_block(count: int, stylizers: int) -> int:
    """At most, of so many items in all."""
    return min(BLOCK_ITEMS, max(1, count // (BLOCKS_EACH * stylizers)))


def cut_into_blocks(items: pa.Table, most: int = BLOCK_ITEMS) -> Iterator[pa.Table]:
    """Blocks of at most so many items, in order."""
    start = size = 0
    for number, length in enumerate(items["size"].to_pylist()):
        if number > start and (number - start == most or size + length > BLOCK_BYTES):
            yield items.slice(start, number - start).combine_chunks()
            start, size = number, 0
        size += length
    if start < len(items):
        yield items.slice(start).combine_chunks()


def _quiet() -> None:
    """Ray Data writes its plans and every lost block's traceback to standard error; its log files keep them. It warns
    of pools with less to do than they could."""
    warnings.filterwarnings("ignore", message="The (min|max)imum number of concurrent", category=UserWarning)
    for handler in logging.getLogger("ray.data").handlers:
        if type(handler).__name__ == "PlainRayHandler":
            handler.setLevel(logging.CRITICAL)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
