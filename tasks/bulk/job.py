"""One bulk job from end to end: look up model and styles, list, work, report; what was done before is not done again.

Everything is recorded under `<dest>/_pcakd/<job id>/` (see `pcakd.bulk.ledger`). One run at a time works on a
job: another waits for it, and then finds it finished.
"""

import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pcakd.bulk.claim import claim_names
from pcakd.bulk.followed import follow
from pcakd.bulk.job import BucketJob, Resolved, RunOptions
from pcakd.bulk.ledger import SPEC, Ledger, Snapshot
from pcakd.bulk.notify import LONGEST_S, Notifier
from pcakd.bulk.packing import Kind, Packed, pack_results
from pcakd.bulk.report import PAGE, Report, RunInfo, write_report
from pcakd.bulk.totals import Totals
from pcakd.errors import AccessError, FatalError, PcakdError, UsageError
from pcakd.storage import LocalStorage, Storage, check_apart, open_places, open_storage
from pcakd.video.options import need_video
from tasks.bulk.chain import make_chain, prepare
from tasks.bulk.driver import Driver
from tasks.bulk.progress import BulkProgress
from tasks.bulk.word import INTERRUPTED_S, word_of_end
from tasks.lease import Lease, SupersededError, lease

LEASE = "driver"


@dataclass(frozen=True, kw_only=True)
class BucketReport:
    """How a job ended.

    totals:    of the whole listing. results: where its rows are; page: the report's address.
    packed:    the shards of its results, where it was to write any.
    reused:    there was nothing to do. processed: items that this run brought to an end, in so many seconds.
    """

    job_id: str
    model: str
    snapshot: int
    totals: Totals
    results: str
    page: str
    reused: bool
    processed: int = 0
    seconds: float = 0.0
    packed: tuple[Packed, ...] = ()

    @property
    def status(self) -> dict[str, int]:
        """Items by status."""
        return self.totals.status

    @property
    def failed(self) -> int:
        return self.totals.failed


def stylize_bucket(
    job: BucketJob,
    options: RunOptions | None = None,
    *,
    progress: BulkProgress | None = None,
    holder: str = "a run",
    waiting: Callable[[str], None] = lambda who: None,
    reported: Callable[[Report], None] = lambda report: None,
    moved: Callable[[str], None] = lambda words: None,
    untold: Callable[[str], None] = lambda words: None,
) -> BucketReport:
    """Run a job to its end, and send word of it where the options name an address.

    progress: told of what is done, entered by the caller. holder: what others are told who wait for this run;
    waiting: told once whom this run waits for. reported: given what the report of this run is, however it ended.
    moved: told where the model's alias has moved and the version of before goes on. untold: told where the word that
    the run has ended did not arrive.

    Raises UsageError, AccessError and NotFoundError for what cannot be used at all; once it works, TransientError
    when the storage is away or too many items failed, FatalError when credentials are refused. What is done by
    then is recorded, and the report says so.
    """
    options, progress = options or RunOptions(), progress or BulkProgress()
    written: list[Report] = []

    def keep(report: Report) -> None:
        written.append(report)
        reported(report)

    def send(longest_s: float = LONGEST_S, **end: Any) -> None:
        if word is None:
            return
        message = word_of_end(job, seconds=time.monotonic() - began, **end)
        if why := word.send(message, longest_s=longest_s):
            untold(why)

    word, began = Notifier.to(options.notify), time.monotonic()
    try:
        done = _work(job, options, progress, holder=holder, waiting=waiting, reported=keep, moved=moved)
    except Exception as error:
        send(error=error, report=written[-1] if written else None)
        raise
    except BaseException as error:  # whoever interrupts a run waits for its end
        send(INTERRUPTED_S, error=error, report=written[-1] if written else None)
        raise
    send(done=done)
    return done


def _work(
    job: BucketJob,
    options: RunOptions,
    progress: BulkProgress,
    *,
    holder: str,
    waiting: Callable[[str], None],
    reported: Callable[[Report], None],
    moved: Callable[[str], None],
) -> BucketReport:
    from pcakd.stylize.engine import EngineSettings

    source, dest = open_places(job.source, job.dest, listed=job.inventory is None)
    dest = dest.encrypted(job.sse) if job.sse else dest
    shards = _shard_places(job, options)
    EngineSettings(precision=job.precision, memory_limit=options.memory_limit)
    progress.doing("reading model and styles")
    resolved, begin = follow(job, dest, tell=moved)
    if job.videos:
        _check_videos(job, dest, resolved)
    claim = claim_names(dest, resolved)
    ledger = Ledger.open(dest, resolved)
    begin()
    with lease(ledger.root, LEASE, holder=holder, waiting=waiting) as held:
        progress.doing("listing")
        try:
            snapshot = ledger.begin(source)
        except PcakdError:
            with suppress(PcakdError):
                claim.give_back()
            raise
        totals = snapshot.done()
        if totals is not None and not totals.passing:
            report = _report(resolved, snapshot, totals, reused=True)
        else:
            report = _BucketRun(
                resolved=resolved,
                ledger=ledger,
                snapshot=snapshot,
                source=source,
                dest=dest,
                options=options,
                progress=progress,
                held=held,
                reported=reported,
            ).to_end()
        packed = [
            pack_results(snapshot, dest, place, kind, job_id=resolved.job_id, tell=progress.doing)
            for kind, place in shards
        ]
        held.check()
        return replace(report, packed=tuple(packed))


def _shard_places(job: BucketJob, options: RunOptions) -> list[tuple[Kind, Storage]]:
    """Where shards of results go. Raises UsageError where that lies in the source or among the results."""
    given: list[tuple[Kind, str]] = [("webdataset", options.to_webdataset), ("parquet", options.to_parquet)]
    found = []
    for kind, place in given:
        if place:
            for other in (job.source, job.dest):
                check_apart(other, place)
            storage = open_storage(place)
            found.append((kind, storage.encrypted(job.sse) if job.sse else storage))
    return found


def _check_videos(job: BucketJob, dest: Storage, resolved: Resolved) -> None:
    need_video("videos")
    ledger = Ledger(dest, resolved)
    how = replace(job.options(), render=ledger.render()) if ledger.root.exists(SPEC) else job.options()
    if how.rendered_by(resolved.compat()) != "look":
        raise UsageError("videos need looks, and this job, or its model, has none: leave videos out, or take another")


@dataclass(kw_only=True)
class _BucketRun:
    resolved: Resolved
    ledger: Ledger
    snapshot: Snapshot
    source: Storage
    dest: Storage
    options: RunOptions
    progress: BulkProgress
    held: Lease
    reported: Callable[[Report], None]

    def __post_init__(self) -> None:
        self.started, self._clock = datetime.now(UTC), time.monotonic()
        self.name = f"{self.started:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
        self.workers, self.device = 0, ""
        self.driver = Driver(
            self.snapshot,
            self.held,
            self.options,
            self.progress,
            run=self.name,
            model=self.resolved.model,
            make_chain=self._chain,
        )

    def to_end(self) -> BucketReport:
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="styles") as thread:  # Ray takes seconds to start
                self._prepared = thread.submit(prepare, self.resolved, self.options)
                self.driver.work()
            self.held.check()
            self._sweep()
            self.progress.doing("writing the report")
            totals = self.snapshot.finish(self._write_report)
        except SupersededError:
            raise  # the ledger is another run's now
        except BaseException as error:
            self._end_badly(error)
            if isinstance(error, AccessError):
                raise FatalError(str(error)) from None
            raise
        seconds = time.monotonic() - self._clock
        return _report(
            self.resolved,
            self.snapshot,
            totals,
            reused=False,
            processed=self.driver.state.done - self.driver.state.earlier,
            seconds=seconds,
        )

    def _chain(self, items: int) -> Any:
        """Once Ray is there."""

        def shared(stylizer: Any, styles: dict[str, Any]) -> dict[str, Any]:
            from tasks.bulk.shared_looks import shared_looks

            self.progress.doing("deciding on the shared look")
            place = {"root": self.ledger.root, "snapshot": self.snapshot, "source": self.source}
            return shared_looks(stylizer, styles, self.resolved.job.options(), **place)  # type: ignore[arg-type]

        chain = make_chain(
            self.resolved,
            self.options,
            self._prepared.result(),
            items=items,
            run=self.name,
            places=(self.source, self.dest),
            render=self.ledger.render(),
            shared=shared,
        )
        self.workers, self.device = chain.shares.stylizers, "cuda" if chain.shares.gpus else "cpu"
        return chain

    def _sweep(self) -> None:
        """Workers that were killed leave temporary files on a local disk."""
        if isinstance(self.dest, LocalStorage):
            self.dest.sweep()

    def _end_badly(self, error: BaseException) -> None:
        """Write a report of what there is, if that can be done: it must not hide why the run ended."""
        with suppress(PcakdError):
            self._write_report(self.snapshot.totals(), stopped=str(error) or "interrupted")

    def _write_report(self, totals: Totals, *, stopped: str = "") -> None:
        state = self.driver.state
        info = RunInfo.of(
            self.resolved,
            snapshot=self.snapshot.number,
            run=self.name,
            started=self.started,
            seconds=time.monotonic() - self._clock,
            processed=state.done - state.earlier,
            first_s=None if state.first is None else state.first - self._clock,
            stopped=stopped,
            workers=max(1, self.workers),
            device=self.device or "cpu",
        )
        self.reported(write_report(self.snapshot, totals, source=self.source, dest=self.dest, info=info))


def _report(resolved: Resolved, snapshot: Snapshot, totals: Totals, **rest: Any) -> BucketReport:
    return BucketReport(
        job_id=resolved.job_id,
        model=resolved.model,
        snapshot=snapshot.number,
        totals=totals,
        results=snapshot.storage.uri("final"),
        page=snapshot.report.uri(PAGE),
        **rest,
    )
