"""One generation of a sharded dataset: what a listing adds to the one before, from snapshot to manifest.

Everything that is not finished yet lives under `<dest>/_work/`:

    listing.parquet, job.json             the snapshot of the source, and what was asked for: a rerun goes on with them
    todo.parquet                          of a dataset that grows: the objects that have to be fetched
    known.parquet                         and the photos that those may be the same files as
    parts/0000000.train.parquet           a part's photos by split
    parts/0000000.outcome.parquet         what became of its objects; written last: the part is finished

Kill it anywhere: what exists under its name is whole, and the result does not depend on who wrote which part when.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from pcakd.errors import AccessError, FatalError, TransientError, UsageError
from pcakd.photos.outcomes import OK, RETRIED
from pcakd.shards.beside import Stretch, pairs, stretches
from pcakd.shards.changes import COMPARED, SETTLED, Delta, Settled, find_delta, settle
from pcakd.shards.config import FORMAT, ShardConfig
from pcakd.shards.dataset import ROOT, ShardDataset, ShardInfo, generation_name
from pcakd.shards.plan import Part, Photos, cut_into_parts, first_of_each, lay_into_shards
from pcakd.shards.schema import OBJECTS_SCHEMA, SPLITS
from pcakd.shards.tables import listing_digest, listing_tables, read_listing, write_listing
from pcakd.storage import ObjectInfo, Storage
from pcakd.storage.parquet import parquet_writer, read_parquet
from pcakd.storage.stage import MANIFEST, Finish, StageOutput, canonical_json, read_manifest, stage_key
from tasks.cluster.calls import run_all
from tasks.cluster.progress import Progress
from tasks.shards.compaction import Older, older_photos
from tasks.shards.objects import Homes, read_outcomes, write_objects
from tasks.shards.pack import pack_shard
from tasks.shards.part import Known, PartJob, PartResult, do_part, outcome_file, probe

STAGE = "shards"
WORK = "_work"
LISTING, TODO, KNOWN, JOB = "listing.parquet", "todo.parquet", "known.parquet", "job.json"
STATS, OVERVIEW, RUN = "stats.json", "overview.png", "run.json"


class Generation:
    """One pass over a listing: all of it, or what it changes in the generation before."""

    def __init__(
        self, config: ShardConfig, source: Storage, dest: Storage, base: ShardDataset | None, progress: Progress
    ) -> None:
        self.config, self.source, self.dest, self.base, self.progress = config, source, dest, base, progress
        self.number = 0 if base is None else base.manifest["generation"] + 1
        self.work = dest.sub(WORK)
        self.resumed = False
        self.snapshot: dict[str, Any] = {}
        self.steps: dict[str, float] = defaultdict(float)
        self.processed = self.decoded = self.kept = 0

    @property
    def job(self) -> PartJob:
        return PartJob(
            source=self.source,
            work=self.work,
            shortest_side=self.config.shortest_side,
            quality=self.config.quality,
            val_fraction=self.config.val_fraction,
            max_pixels=self.config.max_pixels,
            shards=self.dest,
        )

    @property
    def todo(self) -> int:
        """Objects that have to be fetched."""
        return self.snapshot["todo"]

    def begin(self, *, retry: bool = False) -> bool:
        """Take the snapshot of the listing: that of an interrupted run, else a new one. False where it changes nothing.

        retry: take again what failed for a reason that may pass.
        """
        record = self._interrupted()
        self.resumed = record is not None
        record = record or self._new_snapshot(retry)
        if record is None:
            self.work.clear()
            return False
        self.snapshot = record
        return True

    def run(self, finish: Finish | None = None) -> dict[str, Any]:
        """Work through the snapshot; the manifest. finish: writes it."""
        started = time.monotonic()
        photos, part_count = self._run_parts()
        first, settled = self._settle(photos, part_count)
        keep = first == np.arange(len(photos))
        self.kept = int(keep.sum())
        older = older_photos(self.base, settled.dropped, self.config.shard_mb * 10**6, growing=bool(keep.any()))
        joined = Photos.joined([older.photos, photos])
        keep = np.concatenate([np.ones(len(older.photos), bool), keep])
        plans, home = lay_into_shards(joined, keep, self.config.shard_mb * 10**6, self._next_numbers())
        written = self._pack(plans, older)
        moved = {key: plans[place].name for key, place in zip(older.keys, home[: len(older.photos)], strict=True)}
        homes = Homes(
            first=first,
            home=home[len(older.photos) :],
            shards=[plan.name for plan in plans],
            settled=settled,
            moved=moved,
        )
        objects_file = "objects.parquet" if self.number == 0 else f"objects-{self.number}.parquet"
        cut = None if self.base is None else self._beside()
        outcomes = read_outcomes(self.work, part_count)
        counts, objects_digest = write_objects(self.dest, objects_file, outcomes, homes, cut)
        content = self._content(self._splits(written, older), {"file": objects_file, "sha256": objects_digest}, counts)
        self._report(content, counts, time.monotonic() - started)
        inputs = {"source": self.source.uri()}
        output = StageOutput.at(self.dest, STAGE, inputs=inputs, params=self.config.params())
        manifest = (finish or output.finish)(content)
        clean_up(self.dest, manifest)
        return manifest

    def _listing(self) -> Iterator[ObjectInfo]:
        return read_listing(self.work, LISTING)

    def _beside(self, columns: Sequence[str] | None = None) -> Iterator[Stretch]:
        """The listing beside the generation before; columns: of its objects table, None: all."""
        assert self.base is not None
        return stretches(listing_tables(self.work, LISTING), self.base.objects(columns))

    def _interrupted(self) -> dict[str, Any] | None:
        """The record of an interrupted run of the same generation; None where there is none."""
        if not self.work.exists(JOB):
            return None
        record = json.loads(self.work.read(JOB))
        if record["generation"] != self.number or ("todo" not in record and self.base is not None):
            return None  # of before, or a retry as it once was
        check_same(self.config, self.source, record["params"], record["source"], self.dest)
        if "todo" not in record:
            record |= {"todo": record["objects"], "changes": {}, "listing": listing_digest(self._listing())}
        sweep(self.dest)
        return record

    def _new_snapshot(self, retry: bool) -> dict[str, Any] | None:
        """The job's record, with its listing, written now; None where the listing changes nothing."""
        if self.base is None:
            stranger = next((entry.key for entry in self.dest.list() if not entry.key.startswith(f"{WORK}/")), None)
            if stranger is not None:
                raise UsageError(f"{self.dest}: is not empty (it holds {stranger}); choose another destination")
        self.work.clear()
        count, digest = write_listing(self.work, LISTING, islice(self.source.list(), self.config.limit))
        if count == 0:
            self.work.clear()
            raise UsageError(f"{self.source}: holds no objects")
        todo, changes = count, {}
        if self.base is not None:
            delta = find_delta(self.source, self._beside(COMPARED), retry=retry)
            if delta.empty:
                return None
            self._remove_orphans()
            todo, changes = self._write_todo(delta, retry), dict(delta.counts)
        record = {
            "source": self.source.uri(),
            "params": self.config.params(),
            "generation": self.number,
            "objects": count,
            "listing": digest,
            "todo": todo,
            "changes": changes,
        }
        self.work.write(JOB, canonical_json(record))
        return record

    def _write_todo(self, delta: Delta, retry: bool) -> int:
        """Write the objects to fetch, how many, and the older photos that may be of the same files."""

        def entries(writer: Any) -> Iterator[ObjectInfo]:
            known: list[dict[str, Any]] = []
            for entry, row in pairs(self._beside(), partial(delta.concerns, retry=retry)):
                if row is not None and delta.may_be_met_again(row):
                    known.append(row)
                if entry is not None and delta.takes(self.source, entry, row, retry=retry):
                    yield entry
            if known:
                writer.write_table(pa.Table.from_pylist(known, OBJECTS_SCHEMA))

        with parquet_writer(self.work, KNOWN, OBJECTS_SCHEMA) as writer:
            return write_listing(self.work, TODO, entries(writer))[0]

    def _remove_orphans(self) -> None:
        """Remove shards of a generation that was begun and given up: their numbers will be given again."""
        numbers = self._next_numbers()
        for split in SPLITS:
            for entry in self.dest.list(f"{split}/"):
                if _number(entry.key) >= numbers[split]:
                    self.dest.delete(entry.key)

    def _next_numbers(self) -> dict[str, int]:
        """Of each split's next shard: files of older generations keep their names for ever."""
        if self.base is None:
            return dict.fromkeys(SPLITS, 0)
        known = self.base.manifest.get("next_numbers", {})
        used = {
            split: max((_number(shard.file) + 1 for shard in self.base.shards(split)), default=0) for split in SPLITS
        }
        return {split: max(used[split], known.get(split, 0)) for split in SPLITS}

    def _known(self) -> dict[int, list[dict[str, Any]]]:
        """Older photos by the size of their objects."""
        found: dict[int, list[dict[str, Any]]] = defaultdict(list)
        if self.base is not None:
            for row in read_parquet(self.work, KNOWN).to_pylist():
                found[row["size"]].append(row)
        return found

    def _run_parts(self) -> tuple[Photos, int]:
        """Work through all parts that are not finished; the photos that are ok, and the number of parts."""
        finished = {entry.key for entry in self.work.list("parts/")}
        photos: dict[int, Photos] = {}
        older = self._known()

        def calls() -> Iterator[tuple]:
            todo = read_listing(self.work, LISTING if self.base is None else TODO)
            for part in cut_into_parts(todo, self.config.part_objects):
                sizes = {entry.size for entry in part.entries}
                known: Known = {row["source_sha256"]: row for size in sizes for row in older.get(size, ())}
                yield self.job, part, frozenset(), outcome_file(part.name) in finished, known

        with self.progress("photos", self.todo) as advance:
            for result in run_all(do_part, calls(), on_loss=self._isolate) if self.todo else ():
                photos[result.number] = Photos.of_part(result.number, result.outcome)
                for step, spent in result.seconds.items():
                    self.steps[step] += spent
                if result.seconds:
                    self.processed += len(result.outcome)
                    self.decoded += result.decoded
                advance(len(result.outcome))
        return Photos.joined([Photos.none(), *(photos[number] for number in range(len(photos)))]), len(photos)

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
        return next(run_all(do_part, [(self.job, part, frozenset(guilty), False, call[4])]))

    def _settle(self, photos: Photos, part_count: int) -> tuple[np.ndarray, Settled]:
        """For each fetched photo the index of the first of the same content, -1 where an older photo holds it."""
        first = first_of_each(photos, np.zeros(0, "S32"))
        if self.base is None:
            return first, Settled()
        fetched: dict[str, str] = {}
        contents: dict[str, str] = {}
        for outcome in read_outcomes(self.work, part_count):
            for row in outcome.select(["key", "status", "sha256"]).to_pylist():
                if row["status"] == OK:
                    fetched[row["key"]] = row["sha256"]
                    contents.setdefault(row["sha256"], row["key"])
        settled = settle(self.source, self._beside(SETTLED), fetched, contents)
        for index, content in enumerate(photos.sha256):
            if content.ljust(32, b"\0").hex() in settled.holders:
                first[index] = -1
        return first, settled

    def _pack(self, plans: list, older: Older) -> list[ShardInfo]:
        """Write the shards; those that exist under their name already are finished."""
        there = {entry.key for split in SPLITS for entry in self.dest.list(f"{split}/")} if plans else set()
        shards: dict[str, ShardInfo] = {}
        with self.progress("shards", len(plans)) as advance:
            calls = ((self.dest, self.work, plan, plan.name in there, older.files) for plan in plans)
            for shard in run_all(pack_shard, calls) if plans else ():
                shards[shard.file] = shard
                advance(1)
        return [shards[plan.name] for plan in plans]

    def _splits(self, written: list[ShardInfo], older: Older) -> dict[str, Any]:
        splits = {}
        for split in SPLITS:
            shards = older.staying.get(split, [])
            shards = shards + [shard for shard in written if shard.file.startswith(f"{split}/")]
            splits[split] = {
                "rows": sum(shard.rows for shard in shards),
                "shards": [shard.entry() for shard in shards],
            }
        return splits

    def _content(self, splits: dict, objects: dict, counts: dict) -> dict[str, Any]:
        """The manifest's, beside what every stage's has."""
        shards = [ShardInfo.listed(shard) for split in splits.values() for shard in split["shards"]]
        total = sum(counts["status"].values())
        if sum(split["rows"] for split in splits.values()) != counts["status"].get(OK, 0):
            raise FatalError(
                f"{self.dest}: rows in shards and photos that are ok differ; this is a defect, please report"
            )
        numbers = self._next_numbers()
        for shard in shards:
            split = shard.file.partition("/")[0]
            numbers[split] = max(numbers[split], _number(shard.file) + 1)
        return {
            "format": FORMAT,
            "source": self.source.uri(),
            "listing": self.snapshot["listing"],
            "generation": self.number,
            "changes": self.snapshot["changes"],
            "digest": stage_key({shard.file: shard.identity for shard in shards}, {}),
            "splits": splits,
            "next_numbers": numbers,
            "objects": objects | {"rows": total},
            "status": counts["status"],
        }

    def _report(self, content: dict, counts: dict, seconds: float) -> None:
        from pcakd.shards.report import draw_overview

        self.dest.write(STATS, canonical_json(counts))
        self.dest.write(OVERVIEW, draw_overview(counts, _sample(ShardDataset(self.dest, content))))
        run = {"seconds": round(seconds, 3), "processed": self.processed, "steps": dict(self.steps)}
        self.dest.write(RUN, canonical_json(run))


def check_same(config: ShardConfig, source: Storage, params: dict, source_uri: str, dest: Storage) -> None:
    """Raise UsageError where a destination holds what another job made."""
    asked = config.params() | {"source": source.uri()}
    for name, there in (params | {"source": source_uri}).items():
        if asked.get(name) != there:
            raise UsageError(
                f"{dest}: holds shards made with {name} {there}, not {asked.get(name)}; choose another destination"
            )


def clean_up(dest: Storage, manifest: dict[str, Any]) -> None:
    """Keep the finished generation under its number, and remove what it left, unless a later one is under way."""
    place = dest.sub(generation_name(manifest["generation"]))
    if read_manifest(place) is None:
        for name in (STATS, OVERVIEW):
            if dest.exists(name):
                place.write(name, dest.read(name))
        place.write(MANIFEST, canonical_json(manifest | {ROOT: "../.."}))
    work = dest.sub(WORK)
    if work.exists(JOB) and json.loads(work.read(JOB))["generation"] > manifest["generation"]:
        return
    work.clear()
    sweep(dest)


def sweep(dest: Storage) -> None:
    # Listing unfinished uploads is a permission of its own; they cost money, not correctness.
    with suppress(AccessError):
        dest.sweep()


def has_retried(manifest: dict[str, Any]) -> bool:
    """Whether a dataset has objects that a retry takes."""
    return any(manifest["status"].get(status) for status in RETRIED)


def _number(file: str) -> int:
    """Of a shard's file."""
    return int(file.rpartition("-")[2].removesuffix(".parquet"))


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
