"""One run over a snapshot: pending items to Ray, their rows to the ledger, what may pass once more at the end.

Rows are in the ledger half a second after their results, in long runs up to ten seconds: little is done twice.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pyarrow as pa

from pcakd.bulk.job import RunOptions
from pcakd.bulk.ledger import Snapshot
from pcakd.errors import FatalError, PcakdError, TransientError
from pcakd.photos.outcomes import CRASHED, NO_FAILURES, UNREACHABLE
from tasks.bulk.carried import CHUNK_ITEMS, Row
from tasks.bulk.progress import BulkProgress, Counts
from tasks.bulk.termination import Termination, listening
from tasks.cluster.attach import ray_cluster
from tasks.lease import Lease, SupersededError

ROUNDS = 2
"""Times that a run takes again what may pass, one item at a time."""

FLUSH_ROWS = 500
FLUSH_LEAST_S, FLUSH_MOST_S, FLUSH_SHARE = 0.5, 10.0, 0.01
"""Rows wait to be written for this share of the time that the run has taken; they are what is lost with the driver."""

OUTAGE = 16
"""So many items in a row that cannot be reached are an outage of the storage, not of the items."""

STALL_S = 1800.0
"""Without a row for so long the run is stuck; the largest photos take minutes."""

Part = int
Name = tuple[str, str]  # key, style


MANY_LOST = 50
"""Where more items than these all end their workers, it is not the photos: Ray itself is in trouble."""


class OutageError(TransientError):
    """The storage is away: a job must not mark a million items for that."""


class EndedEarlyError(TransientError):
    """The run ended as the user wants it to: the same again at once would end as soon."""


class TooManyFailedError(EndedEarlyError):
    """More items failed than the user allows."""


class BudgetError(EndedEarlyError):
    """A budget of the run is spent."""


class TerminatedError(EndedEarlyError):
    """The process was asked to end."""


@dataclass
class _State:
    """What the run has counted; an item that is tried again counts once."""

    done: int = 0
    earlier: int = 0  # of `done`, those that a run before finished
    rows: int = 0
    first: float | None = None  # when the first row of this run was there
    bytes_in: int = 0
    bytes_out: int = 0
    failed: set[tuple[Part, Name]] = field(default_factory=set)
    unreachable_in_a_row: int = 0


class Driver:
    """Works until every item has a row.

    make_chain: what makes the chain, told how many items there are at least; called once Ray is there.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        held: Lease,
        options: RunOptions,
        progress: BulkProgress,
        *,
        run: str,
        model: str,
        make_chain: Callable[[int], Any],
    ) -> None:
        self.snapshot, self.held, self.options, self.progress = snapshot, held, options, progress
        self.run, self.model, self.make_chain = run, model, make_chain
        self.state = _State()
        self._chain: Any = None
        self._buffer: dict[Part, list[Row]] = defaultdict(list)
        self._buffered_since = 0.0
        self._outstanding: set[tuple[Part, Name]] = set()
        self._again: set[tuple[Part, Name]] = set()
        self._rowless: set[tuple[Part, Name]] = set()
        self._termination = Termination()
        self._started = time.monotonic()

    def work(self) -> None:
        """Raises TransientError, FatalError, EndedEarlyError, SupersededError; rows that came are recorded."""
        with ExitStack() as stack:
            self._termination = stack.enter_context(listening())
            for items in self._chunks():
                self._pass(stack, items, alone=False)
            for _ in range(ROUNDS):
                again, self._again = self._again, set()
                if again:
                    self.progress.doing("trying failures again")
                    try:
                        self._pass(stack, self._named(again), alone=True)
                    except OutageError:
                        if self._rowless:
                            raise
                        break  # all of these could not be reached before: their rows say so, and the job is done
            self._flush()

    def _chunks(self) -> Iterator[pa.Table]:
        """Pending items with their part, as many as Ray takes at a time."""
        waiting: list[pa.Table] = []
        for part in range(self.snapshot.parts):
            pending = self.snapshot.pending(part)
            finished = self.snapshot.record["parts"][part]["items"] - len(pending)
            self.state.done += finished
            self.state.earlier += finished
            self._tell()
            if len(pending):
                waiting.append(_with_part(pending, part))
            if sum(map(len, waiting)) >= (CHUNK_ITEMS if self._chain is None else self._chain.room):
                yield joined(waiting)
                waiting = []
        if waiting:
            yield joined(waiting)

    def _named(self, names: set[tuple[Part, Name]]) -> pa.Table:
        tables = []
        for part in sorted({part for part, _ in names}):
            items = self.snapshot.items(part)
            pairs = zip(items["key"].to_pylist(), items["style"].to_pylist(), strict=True)
            wanted = pa.array([(part, pair) in names for pair in pairs], pa.bool_())
            tables.append(_with_part(items.filter(wanted), part))
        return joined(tables)

    def _pass(self, stack: ExitStack, items: pa.Table, *, alone: bool) -> None:
        self._check_end()
        if self._chain is None:
            self.progress.doing("starting Ray")
            stack.enter_context(ray_cluster())
            self._termination.listen()
            self._chain = self.make_chain(len(items))
            self.progress.doing("starting workers")
        names = zip(items["part"].to_pylist(), items["key"].to_pylist(), items["style"].to_pylist(), strict=True)
        self._outstanding = {(part, (key, style)) for part, key, style in names}
        self.state.unreachable_in_a_row = 0
        last = time.monotonic()
        stream = self._chain.run(items, alone=alone)
        try:
            for rows in stream:
                now = time.monotonic()
                if rows is not None:
                    last = now
                if rows:
                    self._take(rows, alone)
                elif now - last > STALL_S:
                    raise TransientError(f"no result for {STALL_S / 60:.0f} minutes; the same command goes on")
                if self.held.lost:
                    raise SupersededError(
                        f"{self.snapshot.storage.uri()}: another run took this job over; this one stops"
                    )
                if self._outstanding:
                    self._check_end()
                self._flush(now)
        except BaseException:
            with suppress(PcakdError):  # perhaps it ends because the storage is away
                self._flush()
            raise
        finally:
            stream.close()
            self._take_late(alone)
        self._flush()
        self._account_for_lost(items, alone)

    def _check_end(self) -> None:
        state, seconds = self.state, time.monotonic() - self._started
        spent = self.options.spent(seconds=seconds, bytes_out=state.bytes_out, now=datetime.now().time())
        stopped = f"stopped with {state.done:,} of {self.snapshot.item_count:,} items done; the same command goes on"
        if self._termination.asked:
            raise TerminatedError(f"asked to end (SIGTERM): {stopped}")
        if spent:
            raise BudgetError(f"{spent}: {stopped}")

    def _take(self, rows: list[Row], alone: bool) -> None:
        from tasks.bulk.workers import STOP

        state = self.state
        if state.first is None:
            state.first = time.monotonic()
        stop: PcakdError | None = None
        for row in rows:
            if row["status"] == STOP:
                stop = FatalError(row["message"])
                continue
            name = row.pop("part"), (row["key"], row["style"])
            state.done += name in (self._rowless if alone else self._outstanding)
            self._outstanding.discard(name)
            self._rowless.discard(name)
            if not self._buffer:
                self._buffered_since = time.monotonic()
            self._buffer[name[0]].append(row)
            ok = row["status"] in NO_FAILURES
            state.rows += 1
            state.bytes_in += row["size"] or 0
            state.bytes_out += row.get("output_size") or 0
            state.failed.discard(name) if ok else state.failed.add(name)
            if row["passing"] and row["status"] in (UNREACHABLE, CRASHED):
                self._again.add(name)
            state.unreachable_in_a_row = state.unreachable_in_a_row + 1 if row["status"] == UNREACHABLE else 0
            if state.unreachable_in_a_row >= OUTAGE:
                stop = stop or OutageError(
                    f"{OUTAGE} items in a row cannot be reached; the last: {row['message']}; the same command goes on"
                )
        self._tell()
        if stop is None and self.options.too_many(len(state.failed), self.snapshot.item_count):
            stop = TooManyFailedError(
                f"{len(state.failed):,} of {self.snapshot.item_count:,} items failed, more than max_failed "
                f"{self.options.max_failed:g} allows: stopped; the same command goes on, with a higher --max-failed"
            )
        if stop is not None:
            raise stop  # not before all rows that came are kept: their results are in place

    def _take_late(self, alone: bool) -> None:
        """Keep rows of what was finished while a pass was being ended; whatever they say, it ends."""
        assert self._chain is not None
        late, self._chain.late = self._chain.late, []
        if not late:
            return
        for kept in (partial(self._take, late, alone), self._flush):
            with suppress(PcakdError):
                kept()

    def _account_for_lost(self, items: pa.Table, alone: bool) -> None:
        """Items whose worker died each time have no row. Each is tried alone: one that ends it again is the cause."""
        lost, self._outstanding = self._outstanding, set()
        if len(lost) == len(items) > MANY_LOST:
            raise TransientError("every Ray worker died, out of memory perhaps; the same command goes on")
        if not alone:
            self._again |= lost
            self._rowless |= lost
            return
        for item in items.to_pylist():
            if (item["part"], (item["key"], item["style"])) in lost:
                self._take([self._crashed(item)], alone)
                self._again.discard((item["part"], (item["key"], item["style"])))
        self._flush()

    def _crashed(self, item: Row) -> Row:
        return {name: item[name] for name in ("part", "key", "etag", "size", "style", "output")} | {
            "version": item.get("version"),
            "status": CRASHED,
            "passing": True,
            "error": "WorkerDied",
            "message": "its worker process died each time: out of memory, or a crash in a library",
            "model": self.model,
            "finished": datetime.now(UTC),
        }

    def _flush(self, now: float | None = None) -> None:
        """Write the rows that wait; with `now`, only if it is time."""
        if not self._buffer:
            return
        if now is not None:
            wait = min(max((now - self._started) * FLUSH_SHARE, FLUSH_LEAST_S), FLUSH_MOST_S)
            if sum(map(len, self._buffer.values())) < FLUSH_ROWS and now - self._buffered_since < wait:
                return
        while self._buffer:
            part, rows = next(iter(self._buffer.items()))
            self.snapshot.append(part, rows, self.run)
            del self._buffer[part]

    def _tell(self) -> None:
        state = self.state
        self.progress.update(
            Counts(
                items=self.snapshot.item_count,
                done=state.done,
                failed=len(state.failed),
                rows=state.rows,
                bytes_in=state.bytes_in,
                bytes_out=state.bytes_out,
                word="results" if self.snapshot.item_count > self.snapshot.record["objects"] else "photos",
            )
        )


def joined(tables: list[pa.Table]) -> pa.Table:
    """Parts that a snapshot took over from an older one may lack columns."""
    return pa.concat_tables(tables, promote_options="default")


def _with_part(items: pa.Table, part: Part) -> pa.Table:
    return items.append_column("part", pa.array([part] * len(items), pa.int32()))
