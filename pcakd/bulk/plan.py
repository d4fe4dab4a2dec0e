"""A dry run: what a job would do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

import pyarrow as pa

from pcakd.bulk.claim import check_names
from pcakd.bulk.job import Resolved
from pcakd.bulk.ledger import Ledger
from pcakd.bulk.rows import carried_rows
from pcakd.bulk.schema import PART_ITEMS
from pcakd.bulk.snapshot import CollisionCheck, Item, items_table, open_listing, open_manifest, plan_items
from pcakd.photos.leftovers import is_left_out
from pcakd.storage import open_places
from pcakd.storage.tally import Tally


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a dry run found.

    tally:    the objects to take. items: objects × styles.
    sample:   (key, style, output) of the first items.
    left_out: items that are no photos, by their names: a run does not fetch them.
    finished: items with a final result of an earlier run, which a run would leave.
    inventory: when S3 began the inventory that was taken for the listing; None: the source was listed.
    """

    job_id: str
    model: str
    tally: Tally
    items: int
    left_out: int = 0
    finished: int = 0
    inventory: datetime | None = None
    sample: list[tuple[str, str, str]] = field(default_factory=list)


def dry_run(resolved: Resolved, *, sample: int = 10, pending: Callable[[Item], None] = lambda item: None) -> Plan:
    """List the source, plan every output, check for collisions; write nothing. Raises as a run would.

    pending: told of each item that a run would take, in order.
    """
    job = resolved.job
    source, dest = open_places(job.source, job.dest, listed=job.inventory is None)
    manifest, inventory = open_manifest(job), open_listing(job, source)
    check = CollisionCheck(dest, videos=job.videos)
    tally = Tally()
    items = left_out = finished = 0
    first: list[tuple[str, str, str]] = []
    chunk: list[Item] = []

    check_names(dest, resolved)
    ledger = Ledger(dest, resolved)
    former = ledger.former_names()

    def plan() -> Iterator[Item]:
        return plan_items(job, source, dest, manifest, resolved.version, inventory=inventory, former_names=former)

    def parts() -> Iterator[pa.Table]:
        nonlocal items, left_out, chunk
        planned, last = plan(), None
        while chunk := list(islice(planned, PART_ITEMS)):
            items += len(chunk)
            for item in chunk:
                if is_left_out(item.key, videos=job.videos):
                    left_out += 1
                elif len(first) < sample:
                    first.append((item.key, item.style, item.output))
                check.add(item.key, item.output)
                if item.key != last:
                    last = item.key
                    tally.add(item.key, item.size)
            yield items_table(chunk)

    newest = None if job.overwrite == "replace" else ledger.newest()
    for rows in carried_rows(parts(), iter(()) if newest is None else newest.pairs(), job.overwrite, source):
        finished += len(rows)
        done = set(zip(rows["key"].to_pylist(), rows["style"].to_pylist(), strict=True))
        for item in chunk:  # of the part whose rows these are; what clips take is told by no sample
            if (item.key, item.style) not in done and not is_left_out(item.key):
                pending(item)
    check.finish(plan)
    return Plan(
        job_id=resolved.job_id,
        model=resolved.model,
        tally=tally,
        items=items,
        left_out=left_out,
        finished=finished,
        inventory=None if inventory is None else inventory.made,
        sample=first,
    )
