"""A sharding job from end to end: snapshot of the listing, parts, shards, objects table, manifest last.

Everything that is not finished yet lives under `<dest>/_work/`:

    listing.parquet, job.json             the snapshot, and what was asked for: a rerun goes on with them
    parts/0000000.train.parquet           a part's photos by split
    parts/0000000.outcome.parquet         what became of its objects; written last: the part is finished

Kill it anywhere: what exists under its name is whole, and the result does not depend on who wrote
which part when. `--retry-failed` on a finished dataset is another generation of the same: its
listing is the objects whose failure may pass, its shards come after the existing ones.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from pcakd.errors import AccessError, FatalError, TransientError, UsageError
from pcakd.photos.outcomes import MAY_PASS, NO_FAILURES, OK
from pcakd.shards.config import FORMAT, ShardConfig
from pcakd.shards.dataset import ShardDataset, ShardInfo
from pcakd.shards.plan import Part, Photos, cut_into_parts, first_of_each, lay_into_shards
from pcakd.shards.schema import SPLITS
from pcakd.shards.tables import listing_digest, read_listing, write_listing
from pcakd.storage import ObjectInfo, Storage, open_places
from pcakd.storage.stage import Finish, StageOutput, canonical_json, read_manifest, stage_key
from pcakd.storage.tally import Tally
from tasks.cluster.attach import ray_cluster
from tasks.cluster.calls import run_all
from tasks.cluster.progress import Progress, no_progress
from tasks.shards.objects import Homes, read_outcomes, write_objects
from tasks.shards.pack import pack_shard
from tasks.shards.part import PartJob, PartResult, do_part, outcome_file, probe

STAGE = "shards"
WORK = "_work"
LISTING = "listing.parquet"
JOB = "job.json"
STATS = "stats.json"
OVERVIEW = "overview.png"
RUN = "run.json"


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """What a run found and did.

    counts: of the whole dataset: objects, counts by status and split, bytes, histograms.
    processed:  objects that this run fetched; seconds: its wall time without Ray's start.
    steps:      seconds in fetch, decode, resize, encode and write, added up over all workers.
    recovered:  photos that --retry-failed brought in.
    """

    manifest: dict[str, Any] = field(repr=False)
    counts: dict[str, Any] = field(repr=False)
    processed: int = 0
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
    inputs: Mapping[str, str] | None = None,
    finish: Finish | None = None,
) -> ShardReport:
    """Shard a source; go on where an earlier run of the same job stopped; return at once where it is finished.

    inputs: what the caller has listed the source as, {"source": ..., "listing": ...}; None: as it is listed now.
    finish: writes the manifest; None: without asking anybody.

    Raises UsageError when the destination holds something else, AccessError and NotFoundError for
    what cannot be used at all, TransientError when the storage is away or the source has changed since `inputs`.
    """
    source, dest = open_places(config.source, config.dest)
    manifest = read_manifest(dest)
    if manifest is not None:
        _check_same(config, source, manifest["params"], manifest["source"], dest)
        if not (retry_failed and any(manifest["status"].get(status) for status in MAY_PASS)):
            _clean_up(dest, manifest)
            return ShardReport(manifest=manifest, counts=json.loads(dest.read(STATS)))
    base = None if manifest is None else ShardDataset(dest, manifest)
    generation = _Generation(config, source, dest, base, progress)
    generation.begin(inputs)
    with ray_cluster():
        report = generation.run(finish)
        if base is None and retry_failed and report.may_pass:
            generation = _Generation(config, source, dest, ShardDataset(dest, report.manifest), progress)
            generation.begin()
            report = generation.run()
    return report


def dry_run(config: ShardConfig) -> Tally:
    """List the source and write nothing."""
    source, _ = open_places(config.source, config.dest)
    tally = Tally()
    for entry in islice(source.list(), config.limit):
        tally.add(entry.key, entry.size)
    return tally


def _check_same(config: ShardConfig, source: Storage, params: dict, source_uri: str, dest: Storage) -> None:
    asked = config.params() | {"source": source.uri()}
    for name, there in (params | {"source": source_uri}).items():
        if asked.get(name) != there:
            raise UsageError(
                f"{dest}: holds shards made with {name} {there}, not {asked.get(name)}; choose another destination"
            )


def _clean_up(dest: Storage, manifest: dict[str, Any]) -> None:
    """Remove what the finished generation left behind, unless a later one is under way."""
    work = dest.sub(WORK)
    if work.exists(JOB) and json.loads(work.read(JOB))["generation"] > manifest["generation"]:
        return
    work.clear()
    for entry in dest.list("objects"):
        if entry.key != manifest["objects"]["file"]:
            dest.delete(entry.key)
    _sweep(dest)


def _sweep(dest: Storage) -> None:
    # Listing unfinished uploads is a permission of its own; they cost money, not correctness.
    with suppress(AccessError):
        dest.sweep()


class _Generation:
    """One pass over a listing: all of the source, or what failed before."""

    def __init__(
        self, config: ShardConfig, source: Storage, dest: Storage, base: ShardDataset | None, progress: Progress
    ) -> None:
        self.config, self.source, self.dest, self.base, self.progress = config, source, dest, base, progress
        self.number = 0 if base is None else base.manifest["generation"] + 1
        self.work = dest.sub(WORK)
        self.job = PartJob(
            source=source,
            work=self.work,
            shortest_side=config.shortest_side,
            quality=config.quality,
            val_fraction=config.val_fraction,
            max_pixels=config.max_pixels,
        )
        self.snapshot: dict[str, Any] = {}
        self.steps: dict[str, float] = defaultdict(float)
        self.processed = 0

    def begin(self, expected: Mapping[str, str] | None = None) -> None:
        """Take the snapshot of the listing: that of an interrupted run, else a new one.

        expected: the inputs that it must have. Raises TransientError where they have changed.
        """
        self.snapshot = self._interrupted(expected) or self._new_snapshot()
        if expected is not None and self.snapshot["inputs"] != expected:
            self.work.clear()
            raise TransientError(f"{self.source}: changed while it was listed; the same command lists it again")

    def run(self, finish: Finish | None = None) -> ShardReport:
        """Work through the snapshot. finish: writes the manifest."""
        started = time.monotonic()
        photos, part_count = self._run_parts(self.snapshot["objects"])
        known = self._known_hashes()
        first = first_of_each(photos, known)
        shards_before = {split: len(self.base.shards(split)) if self.base else 0 for split in SPLITS}
        keep = first == np.arange(len(photos))
        plans, home = lay_into_shards(photos, keep, self.config.shard_mb * 10**6, shards_before)
        written = self._pack(plans)
        splits = self._splits(written)
        homes = Homes(first=first, home=home, shards=[plan.name for plan in plans])
        objects_file = "objects.parquet" if self.number == 0 else f"objects-{self.number}.parquet"
        outcomes = read_outcomes(self.work, part_count)
        counts, objects_digest = write_objects(self.dest, objects_file, outcomes, homes, self.base)
        seconds = time.monotonic() - started
        content = self._content(splits, {"file": objects_file, "sha256": objects_digest}, counts)
        self._report(content, counts, seconds)
        output = StageOutput.at(self.dest, STAGE, inputs=self.snapshot["inputs"], params=self.config.params())
        manifest = (finish or output.finish)(content)
        _clean_up(self.dest, manifest)
        return ShardReport(
            manifest=manifest,
            counts=counts,
            processed=self.processed,
            recovered=int(keep.sum()) if self.base else 0,
            seconds=seconds,
            steps=dict(self.steps),
        )

    def _interrupted(self, expected: Mapping[str, str] | None) -> dict[str, Any] | None:
        """The record of an interrupted run of the same generation, of the expected inputs; None where there is none."""
        if not self.work.exists(JOB):
            return None
        record = json.loads(self.work.read(JOB))
        if record["generation"] != self.number:
            return None
        _check_same(self.config, self.source, record["params"], record["source"], self.dest)
        if "inputs" not in record:  # written when a job's key was made of other inputs
            record["inputs"] = self._inputs(listing_digest(read_listing(self.work, LISTING)))
        if expected is not None and record["inputs"] != expected:
            return None
        _sweep(self.dest)
        return record

    def _new_snapshot(self) -> dict[str, Any]:
        """The job's record, with its listing, written now."""
        if self.base is None:
            stranger = next((entry.key for entry in self.dest.list() if not entry.key.startswith(f"{WORK}/")), None)
            if stranger is not None:
                raise UsageError(f"{self.dest}: is not empty (it holds {stranger}); choose another destination")
        self.work.clear()
        count, digest = write_listing(self.work, LISTING, self._entries())
        if count == 0 and self.base is None:
            self.work.clear()
            raise UsageError(f"{self.source}: holds no objects")
        record = {
            "source": self.source.uri(),
            "params": self.config.params(),
            "generation": self.number,
            "objects": count,
            "inputs": self._inputs(digest),
        }
        self.work.write(JOB, canonical_json(record))
        return record

    def _inputs(self, listing: str) -> dict[str, str]:
        """What the dataset is made from; later generations retry parts of the first one's listing."""
        return self.base.manifest["inputs"] if self.base else {"source": self.source.uri(), "listing": listing}

    def _entries(self) -> Iterator[ObjectInfo]:
        if self.base is None:
            yield from islice(self.source.list(), self.config.limit)
            return
        for table in self.base.objects():
            for row in table.to_pylist():
                if row["status"] in MAY_PASS:
                    yield ObjectInfo(key=row["key"], size=row["size"], etag=row["etag"], mtime=row["mtime"])

    def _run_parts(self, total: int) -> tuple[Photos, int]:
        """Work through all parts that are not finished; the photos that are ok, and the number of parts."""
        finished = {entry.key for entry in self.work.list("parts/")}
        photos: dict[int, Photos] = {}

        def calls() -> Iterator[tuple]:
            for part in cut_into_parts(read_listing(self.work, LISTING), self.config.part_objects):
                yield self.job, part, frozenset(), outcome_file(part.name) in finished

        with self.progress("photos", total) as advance:
            for result in run_all(do_part, calls(), on_loss=self._isolate):
                photos[result.number] = Photos.of_part(result.number, result.outcome)
                for step, spent in result.seconds.items():
                    self.steps[step] += spent
                if result.seconds:
                    self.processed += len(result.outcome)
                advance(len(result.outcome))
        return Photos.joined([photos[number] for number in range(len(photos))]), len(photos)

    def _isolate(self, call: tuple) -> PartResult:
        """A part whose worker died again and again: find the objects that do it, go on without them."""
        part: Part = call[1]
        guilty: set[str] = set()
        probes = ((self.job, entry) for entry in part.entries)
        for key in run_all(probe, probes, on_loss=lambda lost: lost[1].key, retries=1):
            if key is not None:
                guilty.add(key)
        if not guilty:
            raise TransientError("a Ray worker died several times, out of memory perhaps; the same command goes on")
        return next(run_all(do_part, [(self.job, part, frozenset(guilty), False)]))

    def _known_hashes(self) -> np.ndarray:
        if self.base is None:
            return np.zeros(0, "S32")
        hashes = [
            bytes.fromhex(row["sha256"])
            for table in self.base.objects()
            for row in table.select(["status", "sha256"]).to_pylist()
            if row["status"] == OK
        ]
        return np.sort(np.array(hashes, "S32"))

    def _pack(self, plans: list) -> list[ShardInfo]:
        """Write the shards; those that exist under their name already are finished."""
        there = {entry.key for split in SPLITS for entry in self.dest.list(f"{split}/")}
        shards: dict[str, ShardInfo] = {}
        with self.progress("shards", len(plans)) as advance:
            calls = ((self.dest, self.work, plan, plan.name in there) for plan in plans)
            for shard in run_all(pack_shard, calls):
                shards[shard.file] = shard
                advance(1)
        return [shards[plan.name] for plan in plans]

    def _splits(self, written: list[ShardInfo]) -> dict[str, Any]:
        splits = {}
        for split in SPLITS:
            shards = self.base.shards(split) if self.base else []
            shards = shards + [shard for shard in written if shard.file.startswith(f"{split}/")]
            splits[split] = {
                "rows": sum(shard.rows for shard in shards),
                "shards": [
                    {"file": shard.file, "rows": shard.rows, "bytes": shard.bytes, "sha256": shard.sha256}
                    for shard in shards
                ],
            }
        return splits

    def _content(self, splits: dict, objects: dict, counts: dict) -> dict[str, Any]:
        """The manifest's, beside what every stage's has."""
        contents = {shard["file"]: shard["sha256"] for split in splits.values() for shard in split["shards"]}
        total = sum(counts["status"].values())
        if sum(split["rows"] for split in splits.values()) != counts["status"].get(OK, 0):
            raise FatalError(
                f"{self.dest}: rows in shards and photos that are ok differ; this is a defect, please report"
            )
        return {
            "format": FORMAT,
            "source": self.source.uri(),
            "generation": self.number,
            "digest": stage_key(contents, {}),
            "splits": splits,
            "objects": objects | {"rows": total},
            "status": counts["status"],
        }

    def _report(self, content: dict, counts: dict, seconds: float) -> None:
        from pcakd.shards.report import draw_overview

        self.dest.write(STATS, canonical_json(counts))
        self.dest.write(OVERVIEW, draw_overview(counts, _sample(ShardDataset(self.dest, content))))
        run = {"seconds": round(seconds, 3), "processed": self.processed, "steps": dict(self.steps)}
        self.dest.write(RUN, canonical_json(run))


def _sample(dataset: ShardDataset, count: int = 24) -> list[bytes]:
    """Encoded photos from all over the dataset, the same ones every time."""
    shards = [shard for split in SPLITS for shard in dataset.shards(split)]
    chosen = [shards[place * len(shards) // 8] for place in range(min(8, len(shards)))] if len(shards) > 8 else shards
    photos: list[bytes] = []
    for place, shard in enumerate(chosen):
        table = next(dataset.tables("train", columns=["image"], shards=[shard]))
        take = (count * (place + 1)) // len(chosen) - (count * place) // len(chosen)
        photos += [table["image"][row * len(table) // take].as_py() for row in range(min(take, len(table)))]
    return photos
