"""A bulk job without what runs it: spec, manifest, listing snapshot, ledger of results, totals.

    job = BucketJob(source="s3://in", dest="s3://out", styles=("evening.jpg",))
    resolved = look_up(job)
    ledger = Ledger.open(open_storage(job.dest), resolved)
    snapshot = ledger.begin(open_storage(job.source))
    for part in range(snapshot.parts):
        todo = snapshot.pending(part)          # a table of ITEM_SCHEMA
        snapshot.append(part, rows, run=run)   # dicts of ROW_SCHEMA, as often as they come
    totals = snapshot.finish(report=lambda totals: ...)

Words: a *source object* (key, size, ETag) in one *style* is an *item*, the unit of work. A *snapshot* is a
numbered listing of items that a run works on, cut into *parts*; a *row* says what became of an item. The
*ledger* is all of it, under `<dest>/_pcakd/<job id>/`.
"""

from pcakd.bulk.job import BucketJob, Resolved, RunOptions, load_job, look_up
from pcakd.bulk.ledger import Ledger, Snapshot
from pcakd.bulk.plan import Plan, dry_run
from pcakd.bulk.schema import FOLDER, ITEM_SCHEMA, ROW_SCHEMA
from pcakd.bulk.totals import Totals

__all__ = [
    "FOLDER",
    "ITEM_SCHEMA",
    "ROW_SCHEMA",
    "BucketJob",
    "Ledger",
    "Plan",
    "Resolved",
    "RunOptions",
    "Snapshot",
    "Totals",
    "dry_run",
    "load_job",
    "look_up",
]
