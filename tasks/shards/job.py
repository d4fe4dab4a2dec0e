"""A sharding job from end to end: a new dataset, or another generation of one that is there.

A run lists the source, takes in what is new or changed, drops what has gone, and leaves every finished shard as it is;
see `generation.py`. A run that finds nothing new fetches nothing and starts no Ray.
"""

import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from pcakd.photos.outcomes import MAY_PASS, NO_FAILURES
from pcakd.shards.config import ShardConfig
from pcakd.shards.dataset import ShardDataset
from pcakd.storage import open_places
from pcakd.storage.stage import Finish, read_manifest
from pcakd.storage.tally import Tally
from tasks.cluster.attach import ray_cluster
from tasks.cluster.progress import Progress, no_progress
from tasks.shards.generation import STATS, Generation, check_same, clean_up, has_retried


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """What a run found and did.

    counts: of the whole dataset: objects, counts by status and split, bytes, histograms.
    processed:  objects that this run fetched; decoded: those of them that no older shard holds already.
    seconds:    its wall time without Ray's start.
    steps:      seconds in fetch, decode, resize, encode and write, added up over all workers.
    recovered:  photos that came into the shards of a dataset that was there.
    """

    manifest: dict[str, Any] = field(repr=False)
    counts: dict[str, Any] = field(repr=False)
    processed: int = 0
    decoded: int = 0
    recovered: int = 0
    seconds: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Objects that are neither in a shard nor a duplicate of one that is."""
        return sum(count for status, count in self.counts["status"].items() if status not in NO_FAILURES)

    @property
    def may_pass(self) -> int:
        """Failed objects that --retry-failed takes."""
        return sum(self.counts["status"].get(status, 0) for status in MAY_PASS)


def shard_dataset(
    config: ShardConfig,
    *,
    retry_failed: bool = False,
    progress: Progress = no_progress,
    finish: Finish | None = None,
    attach: Callable[[], None] = lambda: None,
) -> ShardReport:
    """Shard a source, or take into its shards what is new; go on where an earlier run of the same job stopped.

    retry_failed: take again what failed for a reason that may pass. finish: writes the manifest; None: without asking
    anybody. attach: called before Ray is used.

    Raises UsageError when the destination holds something else, AccessError and NotFoundError for what cannot be used
    at all, TransientError when the storage is away.
    """
    source, dest = open_places(config.source, config.dest)
    report = ShardReport(manifest=read_manifest(dest) or {}, counts={})
    if report.manifest:
        check_same(config, source, report.manifest["params"], report.manifest["source"], dest)
        clean_up(dest, report.manifest)
    retry = retry_failed and bool(report.manifest)
    while True:
        base = ShardDataset(dest, report.manifest) if report.manifest else None
        generation = Generation(config, source, dest, base, progress)
        if not generation.begin(retry=retry):
            return replace(report, counts=json.loads(dest.read(STATS)))
        if generation.todo:
            attach()
        with ray_cluster() if generation.todo else nullcontext():
            started = time.monotonic()
            manifest = generation.run(finish)
            report = _continued(report, generation, manifest, time.monotonic() - started)
        # What an interrupted run had listed may be days old; a first run takes its own failures again.
        again = retry_failed and base is None and has_retried(report.manifest)
        if not generation.resumed and not again:
            return replace(report, counts=json.loads(dest.read(STATS)))
        retry = again


def _continued(before: ShardReport, done: Generation, manifest: dict[str, Any], seconds: float) -> ShardReport:
    """The report of a run with one generation more."""
    return ShardReport(
        manifest=manifest,
        counts={},
        processed=before.processed + done.processed,
        decoded=before.decoded + done.decoded,
        recovered=before.recovered + (done.kept if done.base is not None else 0),
        seconds=before.seconds + seconds,
        steps=dict(Counter(before.steps) + Counter(done.steps)),
    )


def dry_run(config: ShardConfig) -> Tally:
    """List the source and write nothing."""
    source, _ = open_places(config.source, config.dest)
    tally = Tally()
    for entry in islice(source.list(), config.limit):
        tally.add(entry.key, entry.size)
    return tally
