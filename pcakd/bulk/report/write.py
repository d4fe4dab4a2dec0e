"""Write a job's report from its ledger: one pass over the rows, a part in memory at a time."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from pcakd.bulk.report.counts import STEPS, RowCounts
from pcakd.bulk.report.info import RunInfo
from pcakd.bulk.report.page import render
from pcakd.bulk.report.sample import Example, Sample, style_pictures
from pcakd.bulk.totals import Totals
from pcakd.errors import FatalError
from pcakd.photos.outcomes import NO_FAILURES, OK, PENDING
from pcakd.storage import Storage

FORMAT = 1
PAGE, NUMBERS, FAILED, SLOWEST = "report.html", "report.json", "failed.csv", "slowest.csv"
FAILED_SHOWN = 200
"""Failed objects on the page; each status gets its share of them, at least ten."""
SLOWEST_SHOWN = 20
FAILED_COLUMNS = ("key", "style", "status", "passing", "error", "message", "size", "etag", "output", "run", "finished")
SLOWEST_COLUMNS = ("key", "style", "status", "total_s", *(f"{step}_s" for step in STEPS))
SLOWEST_COLUMNS += ("width", "height", "size", "output", "worker")


class Reportable(Protocol):
    """What a report needs of a snapshot."""

    @property
    def parts(self) -> int: ...

    def rows(self, part: int) -> pa.Table: ...

    def final(self, part: int) -> pa.Table: ...

    @property
    def report(self) -> Storage: ...


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was written. folder: where; page: its page's address; numbers: report.json's content; html: the page;
    examples: the photos that it shows."""

    folder: Storage
    page: str
    numbers: dict[str, Any] = field(repr=False)
    html: bytes = field(repr=False)
    examples: Sequence[Example] = field(default=(), repr=False)


def write_report(snapshot: Reportable, totals: Totals, *, source: Storage, dest: Storage, info: RunInfo) -> Report:
    """Write report.html, report.json, failed.csv and slowest.csv into the snapshot's report folder.

    snapshot: its final rows are read once, or, of a run that stopped, the rows that there are.
    totals: those of the whole listing, "pending" for what has no row.
    source, dest: up to twelve objects are read from them, for the page's pictures.
    Raises FatalError when the rows are not what the totals say; what the storage raises when it cannot be written.
    """
    report, read = snapshot.report, snapshot.rows if info.stopped else snapshot.final
    counts, sample = RowCounts(), Sample()
    failures: dict[str, list[dict[str, Any]]] = {}
    with _csv(report, FAILED, FAILED_COLUMNS) as write:
        for part in range(snapshot.parts):
            rows = read(part)
            counts.add(rows)
            sample.add(rows)
            for row in rows.filter(pc.invert(pc.is_in(rows["status"], pa.array(sorted(NO_FAILURES))))).to_pylist():
                write(row)
                shown = failures.setdefault(row["status"], [])
                if len(shown) < FAILED_SHOWN:
                    shown.append(row)
    _check(counts, totals)
    slowest = [] if counts.slowest is None else counts.slowest.to_pylist()
    with _csv(report, SLOWEST, SLOWEST_COLUMNS) as write:
        for row in slowest:
            write(row)
    numbers = _numbers(counts, totals, source, dest, info)
    each = max(10, FAILED_SHOWN // max(1, len(failures)))
    examples = sample.fetch(source, dest)
    html = render(
        numbers,
        examples=examples,
        styles=style_pictures(info.styles),
        failures={status: failures[status][:each] for status in numbers["totals"]["status"] if status in failures},
        slowest=slowest[:SLOWEST_SHOWN],
    ).encode()
    report.write(NUMBERS, json.dumps(numbers, indent=1, allow_nan=False).encode())
    report.write(PAGE, html)
    return Report(folder=report, page=report.uri(PAGE), numbers=numbers, html=html, examples=examples)


def _check(counts: RowCounts, totals: Totals) -> None:
    rows = {name: count for name, count in totals.status.items() if name != PENDING}
    if dict(counts.status) != rows or sum(totals.status.values()) != totals.items:
        raise FatalError(
            f"the report does not add up: rows by status are {dict(counts.status)}, the totals say {totals.status} "
            f"of {totals.items}; run the job again"
        )


def _numbers(counts: RowCounts, totals: Totals, source: Storage, dest: Storage, info: RunInfo) -> dict[str, Any]:
    """The content of report.json."""
    order = sorted(totals.status.items(), key=lambda item: (item[0] != OK, item[0] == PENDING, -item[1], item[0]))
    return {
        "format": FORMAT,
        "job": info.job_id,
        "snapshot": info.snapshot,
        "source": source.uri(),
        "dest": dest.uri(),
        "stopped": info.stopped,
        "totals": totals.to_dict() | {"status": dict(order)},
        "failed": totals.failed,
        "several": totals.items > totals.objects,
        "model": {"uri": info.model, "digest": info.model_digest},
        "options": {name: value for name, value in info.options.items() if value is not None},
        "run": {
            "name": info.run,
            "started": f"{info.started:%Y-%m-%d %H:%M:%S %Z}",
            "seconds": info.seconds,
            "processed": info.processed,
            "first_s": info.first_s,
            "photos_per_s": info.processed / info.seconds if info.seconds > 0 else 0.0,
            "workers": info.workers,
            "device": info.device,
        },
        "versions": {name: version(name) for name in ("pcakd", "torch", "pillow")},
        **counts.to_json(),
    }


@contextmanager
def _csv(storage: Storage, name: str, columns: tuple[str, ...]) -> Iterator[Any]:
    """A function that writes a row; the file appears when the block ends."""
    with storage.writer(name) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        table = csv.DictWriter(text, columns, extrasaction="ignore")
        table.writeheader()
        yield table.writerow
        text.flush()
        text.detach()
