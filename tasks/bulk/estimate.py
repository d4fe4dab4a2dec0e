"""What a job will take: some of its objects go through the real chain, and their results nowhere.

Stylizers work side by side, as in the job itself, so what they take of each other is in the figures.
"""

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from pcakd.bulk.estimate import Estimate, Machine, Prices, SizeSample, estimate
from pcakd.bulk.job import Resolved, RunOptions
from pcakd.bulk.ledger import Ledger
from pcakd.bulk.snapshot import items_table
from pcakd.errors import FatalError, NotFoundError, PhotoError, UsageError
from pcakd.photos.images import read_photo
from pcakd.storage import LocalStorage, Storage, open_places
from pcakd.storage.keys import key_of
from pcakd.storage.properties import Properties
from pcakd.stylize.look.decide import SERIES
from tasks.bulk.chain import make_chain, prepare
from tasks.bulk.progress import BulkProgress
from tasks.cluster.attach import ray_cluster


class Nowhere(LocalStorage):
    """Takes what is written and keeps none of it."""

    def write(self, key: str, data: bytes | memoryview, properties: Properties | None = None) -> None:
        pass

    def create(self, key: str, data: bytes, properties: Properties | None = None) -> bool:
        return True


def measure(
    resolved: Resolved, options: RunOptions, sample: SizeSample, prices: Prices, *, progress: BulkProgress
) -> Estimate:
    """Stylize the sample's objects on Ray, with the job's workers; nothing is written.

    Raises TransientError, FatalError as a run does; UsageError where none of them could be measured.
    """
    job, chosen, began = resolved.job, sample.items(), time.monotonic()
    source, dest = open_places(job.source, job.dest, listed=job.inventory is None)
    listed = {item.key: item.size for item in chosen}

    def shared(stylizer: Any, styles: dict[str, Any]) -> dict[str, Any]:
        photos = _photos(source, list(listed))
        return {name: stylizer.shared_look(photos, style, job.options()) for name, style in styles.items()}

    rows: list[dict[str, Any]] = []
    first = None
    progress.doing("starting Ray")
    with ThreadPoolExecutor(1, thread_name_prefix="styles") as thread, ExitStack() as stack:
        prepared = thread.submit(prepare, resolved, options)
        stack.enter_context(ray_cluster())
        from tasks.bulk.workers import STOP
        from tasks.cluster.attach import cluster_cpus

        chain = make_chain(
            resolved,
            options,
            prepared.result(),
            items=sample.count,
            run=f"estimate-{secrets.token_hex(3)}",
            places=(source, Nowhere("/nowhere")),
            render=Ledger(dest, resolved).render(),
            shared=shared,
        )
        progress.doing(f"measuring {len(listed)} objects")
        table = items_table(chosen)
        table = table.append_column("part", [[0] * len(table)])
        for found in chain.run(table):
            if found and first is None:
                first = time.monotonic() - began
            rows += found or ()
        cpus, shares = cluster_cpus(), chain.shares
    if stop := next((row for row in rows if row["status"] == STOP), None):
        raise FatalError(stop["message"])
    if not rows:
        raise UsageError(f"{job.source}: no object could be measured; the workers ended each time")
    spent = max(row.get("stylize_s") or 0.0 for row in rows[:1])
    machine = Machine(
        stylizers=shares.stylizers,
        cpus=cpus,
        start_s=max(0.0, (first or 0.0) - spent),
        device="cuda" if shares.gpus else "cpu",
        listed=job.inventory is None,
    )
    return estimate(sample, [row | {"listed": listed[row["key"]]} for row in rows], machine, prices)


def _photos(source: Storage, keys: list[str]) -> list[bytes]:
    """Up to `SERIES` of the objects that are photos. Raises UsageError where none is."""
    photos: list[bytes] = []
    for key in keys[: 2 * SERIES]:
        try:
            data = source.read(key_of(key))
            read_photo(data)
        except (PhotoError, NotFoundError):
            continue
        photos.append(data)
    if not photos:
        raise UsageError(f"{source.uri()}: look is 'shared', but none of the objects that were tried is a photo")
    return photos[:SERIES]
