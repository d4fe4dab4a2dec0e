"""The ledger of a job: its spec, its snapshots, and for every item what became of it.

    <dest>/_pcakd/<job id>/
      newest.json                            a number to look for the newest snapshot from
      spec.json                              what the results depend on; never changes
      render.json                            how "auto" renders; without it, as before there were looks: "full"
      names.json                             what decides where a name has no suffix; without it, as before: PNG
      snapshots/000001/claim.json            whose number this is; a snapshot without snapshot.json is no snapshot
                      /items/00000.parquet   up to 10,000 items each, in the order of keys, then styles
                      /snapshot.json         written after them: the snapshot is whole
                      /rows/00000/*.parquet  rows as they come, only ever added; the folder is the part
                      /final/00000.parquet   exactly one row an item, in the items' order
                      /report/               for people
                      /done.json             written last: totals

Kill a writer anywhere, or let two write at once: a file is there whole or not at all, nobody writes a file
that another has written, and rows that say the same twice count once (see `merge_rows`).
"""

import json
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from itertools import islice
from typing import Any

import pyarrow as pa

from pcakd.bulk.job import SELECTION, BucketJob, Resolved
from pcakd.bulk.rows import carried_rows, merge_rows, pending_items, rows_bytes, rows_table
from pcakd.bulk.schema import FOLDER, FORMAT, PART_ITEMS
from pcakd.bulk.snapshot import CollisionCheck, Item, items_table, open_listing, open_manifest, plan_items
from pcakd.bulk.totals import Totals
from pcakd.errors import FatalError, NotFoundError, PcakdError
from pcakd.photos.outcomes import EXISTS
from pcakd.storage import ObjectInfo, Storage
from pcakd.storage.parquet import read_parquet, write_parquet
from pcakd.storage.stage import canonical_json
from pcakd.stylize.options import Render

SPEC, NEWEST, CLAIM, SNAPSHOT, DONE = "spec.json", "newest.json", "claim.json", "snapshot.json", "done.json"
RENDER, NAMES = "render.json", "names.json"
READS_AT_ONCE = 8


class Ledger:
    """One job's ledger. Any number may be open; only a run that holds the job's lease should begin and finish."""

    def __init__(self, dest: Storage, resolved: Resolved) -> None:
        self.dest, self.resolved = dest, resolved
        self.root = dest.sub(f"{FOLDER}/{resolved.job_id}")

    @classmethod
    def open(cls, dest: Storage, resolved: Resolved) -> "Ledger":
        """The ledger of a job, made if it is not there. Raises FatalError where the spec is not the job's."""
        ledger = cls(dest, resolved)
        if not ledger.root.exists(SPEC):
            ledger.root.create(RENDER, canonical_json({"auto": "auto"}))
            ledger.root.create(NAMES, canonical_json({"without_suffix": "content"}))
        if not ledger.root.create(SPEC, canonical_json(resolved.spec())):
            raise FatalError(f"{ledger.root.uri(SPEC)}: is not this job's spec; move that folder away")
        return ledger

    def render(self) -> Render:
        """How items are rendered where the job says so, or nothing: a job that began before there were looks goes on
        without them."""
        named = self.resolved.job.render
        begun_then = self.root.exists(SPEC) and not self.root.exists(RENDER)
        return "full" if named == "auto" and begun_then else named

    def former_names(self) -> bool:
        """Whether results are named as before content decided on names without suffix: a job that began then keeps the
        names of its results."""
        return self.root.exists(SPEC) and not self.root.exists(NAMES)

    def newest(self) -> "Snapshot | None":
        """The whole snapshot of the highest number, None while there is none."""
        hint = self._hint()
        for number in range(self.top(), max(0, hint - 1), -1):
            snapshot = Snapshot.read(self.root, number)
            if snapshot is not None:
                return snapshot
        return None

    def begin(self, source: Storage, *, part_items: int = PART_ITEMS) -> "Snapshot":
        """The snapshot that a run is to work on.

        It is the newest one where that is not done and takes the same objects (globs, limit, manifest, policy): an
        interrupted run goes on. It is the newest one, too, where that is done and the source lists the same as
        then (`done()` tells which). Else it is a new one of what the source lists now: the rows of unchanged items
        are carried over, unless the policy is "replace". Objects that vanished are not in it; their results stay.

        Raises UsageError where there are no objects, or two items have one output.
        """
        job = self.resolved.job
        manifest = open_manifest(job)
        selection = {name: _plain(getattr(job, name)) for name in SELECTION}
        if job.videos:  # of snapshots from before there were videos nothing says that they have none
            selection["videos"] = True
        selection["manifest"] = None if manifest is None else manifest.digest
        inventory = open_listing(job, source)
        if inventory is not None:  # only there: what was selected before there were inventories is the same as now
            selection["inventory"] = inventory.digest
        newest = self.newest()
        done = None if newest is None else newest.done()
        if newest is not None and done is None and newest.record["selection"] == selection:
            return newest
        version, former = self.resolved.version, self.former_names()
        items = plan_items(job, source, self.dest, manifest, version, inventory=inventory, former_names=former)
        again = job.overwrite == "replace"
        # Under "fail" a result in the way is final; under another policy it is not.
        stands = done is not None and not again and (job.overwrite == "fail" or EXISTS not in done.status)
        making = _Making(self, newest if stands else None)
        if not making.take(items, part_items):
            assert newest is not None
            return newest
        return making.finish(None if again else newest, selection, source)

    def top(self) -> int:
        """The highest number that was claimed, 0 for none. Numbers are tried, not listed: row files may be many."""
        number = self._hint()
        while self.root.exists(f"snapshots/{number + 1:06d}/{CLAIM}"):
            number += 1
        return number

    def _hint(self) -> int:
        """The number of a whole snapshot, which may not be the newest; 0 for none."""
        try:
            return int(json.loads(self.root.read(NEWEST))["number"])
        except NotFoundError:
            return 0
        except (ValueError, KeyError, TypeError):
            raise FatalError(f"{self.root.uri(NEWEST)}: is not the number of a snapshot; delete it") from None


class Snapshot:
    """A numbered listing of items, and the rows about them. A part is held in memory at a time."""

    def __init__(self, root: Storage, number: int, record: dict[str, Any]) -> None:
        self.root, self.number, self.record = root, number, record
        self.storage = root.sub(f"snapshots/{number:06d}")
        self._sequence = 0

    @classmethod
    def read(cls, root: Storage, number: int) -> "Snapshot | None":
        """The snapshot of this number under a ledger's root, None where it is not whole."""
        try:
            return cls(root, number, json.loads(root.read(f"snapshots/{number:06d}/{SNAPSHOT}")))
        except NotFoundError:
            return None
        except ValueError:
            place = root.uri(f"snapshots/{number:06d}/{SNAPSHOT}")
            raise FatalError(f"{place}: is not JSON; delete its folder and run again") from None

    @property
    def parts(self) -> int:
        return len(self.record["parts"])

    @property
    def item_count(self) -> int:
        return self.record["items"]

    @property
    def digest(self) -> str:
        """Of the listing."""
        return self.record["digest"]

    @property
    def report(self) -> Storage:
        """Where the report goes."""
        return self.storage.sub("report")

    def items(self, part: int) -> pa.Table:
        """The items of a part, as ITEM_SCHEMA."""
        return read_parquet(self.storage, items_file(part))

    def rows(self, part: int) -> pa.Table:
        """What is known of a part: ROW_SCHEMA, in the items' order, one row for each item that has any."""
        return merge_rows(self.items(part), self._row_tables(part))

    def pairs(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """(item, its row) for every item that has one, in the items' order."""
        for part in range(self.parts):
            items = self.items(part)
            yield from zip_rows(items, merge_rows(items, self._row_tables(part)))

    def pending(self, part: int) -> pa.Table:
        """The items of a part that a run is to take: those without a row, or with one whose failure may pass."""
        items = self.items(part)
        return pending_items(items, merge_rows(items, self._row_tables(part)))

    def append(self, part: int, rows: list[dict[str, Any]], run: str) -> None:
        """Add rows of ROW_SCHEMA to a part; what a row leaves out is null. run: names the run, in the file, too.

        Once this returns they are there, whatever happens. The same rows may be added again.
        """
        if not rows:
            return
        data = rows_bytes(rows_table([row | {"run": run} for row in rows]))
        while True:
            self._sequence += 1
            if self.storage.create(f"rows/{part:05d}/{run}-{self._sequence:06d}.parquet", data):
                return

    def finish(self, report: Callable[[Totals], None] = lambda totals: None) -> Totals:
        """Write the final rows, let `report` write its own, then declare the snapshot done.

        Raises FatalError if an item has no row, or the rows do not add up to the listing.
        """
        totals = self.totals(final=True)
        totals.check(self.item_count)
        report(totals)
        self.storage.write(DONE, canonical_json({"digest": self.digest, "totals": totals.to_dict()}))
        self._tidy()
        return totals

    def totals(self, *, final: bool = False) -> Totals:
        """What the rows add up to by now; items without one count as "pending". final: also write final rows."""
        totals = Totals()
        for part in range(self.parts):
            items = self.items(part)
            rows = merge_rows(items, self._row_tables(part))
            totals += Totals.of_part(items, rows)
            if final and len(rows) == len(items):
                write_parquet(self.storage, final_file(part), rows)
        return totals

    def done(self) -> Totals | None:
        """The totals of a snapshot that is done, else None. With `passing` items a run may still take those."""
        if not self.storage.exists(DONE):
            return None
        try:
            return Totals.from_dict(json.loads(self.storage.read(DONE))["totals"])
        except (ValueError, KeyError, TypeError):
            raise FatalError(f"{self.storage.uri(DONE)}: is not a record of totals; delete it and run again") from None

    def final(self, part: int) -> pa.Table:
        """The final rows of a part, of a snapshot that is done."""
        return read_parquet(self.storage, final_file(part))

    def _tidy(self) -> None:
        """Remove the items of listings that were broken off before this one; their numbers stay taken.

        Not sooner: a run that was taken for dead may still have been writing them.
        """
        for number in range(self.number - 1, 0, -1):
            storage = self.root.sub(f"snapshots/{number:06d}")
            with suppress(PcakdError):
                if storage.exists(SNAPSHOT) or not storage.exists(CLAIM):
                    return
                storage.sub("items").clear()

    def _row_tables(self, part: int) -> list[pa.Table]:
        entries: list[ObjectInfo] = list(self.storage.list(f"rows/{part:05d}/"))
        if len(entries) < 2:
            return [read_parquet(self.storage, entry.key) for entry in entries]
        with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="rows") as threads:
            return list(threads.map(lambda entry: read_parquet(self.storage, entry.key), entries))


class _Making:
    """A snapshot that is being made; compared part by part with the one that may be the same, before it writes."""

    def __init__(self, ledger: Ledger, twin: Snapshot | None) -> None:
        self.ledger, self.twin = ledger, twin
        self.parts: list[dict[str, Any]] = []
        self._known: list[dict[str, Any]] = [] if twin is None else twin.record["parts"]
        self._storage: Storage | None = None
        self._number = 0
        self._last: str | None = None

    def take(self, items: Iterator[Item], part_items: int) -> bool:
        """Take all items; whether they differ from the twin's, so that there is a snapshot to finish.

        Raises UsageError where two items have one output.
        """
        check = CollisionCheck(self.ledger.dest, fold=self._folds(), videos=self.ledger.resolved.job.videos)
        while chunk := list(islice(items, part_items)):
            for item in chunk:
                check.add(item.key, item.output)
            number = len(self.parts)
            self.parts.append(self._part(chunk))
            if self._storage is None and not self._is_the_twins(number):
                self._begin(number)
            if self._storage is not None:
                write_parquet(self._storage, items_file(number), items_table(chunk))
        if self._storage is None and len(self.parts) != len(self._known):
            self._begin(len(self.parts))
        if self._storage is None:
            return False
        check.finish(self._written)
        return True

    def _folds(self) -> bool:
        """Whether the destination takes names that differ in case for the same: it finds the spec in capitals."""
        capitals = f"{FOLDER.upper()}/{self.ledger.resolved.job_id.upper()}/{SPEC.upper()}"
        return self.ledger.dest.head(capitals) is not None

    def _part(self, chunk: list[Item]) -> dict[str, Any]:
        """The record of a part of these items."""
        digest, objects = sha256(), 0
        for item in chunk:
            digest.update(repr(item.told()).encode())
            objects, self._last = objects + (item.key != self._last), item.key
        size = sum(item.size for item in chunk)
        return {"items": len(chunk), "objects": objects, "bytes": size, "digest": digest.hexdigest()}

    def _is_the_twins(self, number: int) -> bool:
        return number < len(self._known) and self._known[number]["digest"] == self.parts[number]["digest"]

    def _begin(self, parts: int) -> None:
        """A place to write to, with the first parts of the twin, which are these items', too."""
        self._claim()
        assert self._storage is not None
        for part in range(parts):
            assert self.twin is not None
            self._storage.write(items_file(part), self.twin.storage.read(items_file(part)))

    def finish(self, before: Snapshot | None, selection: dict[str, Any], source: Storage) -> Snapshot:
        """Carry rows over from `before`, then declare the snapshot whole."""
        assert self._storage is not None
        carried = 0
        old = iter(()) if before is None else before.pairs()
        for number, rows in enumerate(carried_rows(self._tables(), old, selection["overwrite"], source)):
            carried += len(rows)
            if len(rows):
                write_parquet(self._storage, f"rows/{number:05d}/carried-000001.parquet", rows)
        job: BucketJob = self.ledger.resolved.job
        record = {
            "format_version": FORMAT,
            "number": self._number,
            "items": sum(part["items"] for part in self.parts),
            "objects": sum(part["objects"] for part in self.parts),
            "bytes": sum(part["bytes"] for part in self.parts),
            "digest": sha256(" ".join(part["digest"] for part in self.parts).encode()).hexdigest(),
            "parts": self.parts,
            "selection": selection,
            "carried": carried,
            "carried_from": before.number if before else None,
            "styles": {name: list(style.photos) for name, style in job.style_specs().items()},
            "manifest": job.manifest,
            "model": self.ledger.resolved.model,
        }
        if job.inventory:
            record["inventory"] = job.inventory
        self._storage.write(SNAPSHOT, canonical_json(record))
        self.ledger.root.write(NEWEST, canonical_json({"number": self._number}))
        return Snapshot(self.ledger.root, self._number, record)

    def _claim(self) -> None:
        """Claim a number that nobody else writes under, not even a run that is thought to be dead."""
        self._number = self.ledger.top()
        token = canonical_json({"token": secrets.token_hex(8)})
        while True:
            self._number += 1
            self._storage = self.ledger.root.sub(f"snapshots/{self._number:06d}")
            if self._storage.create(CLAIM, token):
                return

    def _tables(self) -> Iterator[pa.Table]:
        assert self._storage is not None
        for number in range(len(self.parts)):
            yield read_parquet(self._storage, items_file(number))

    def _written(self) -> Iterator[Item]:
        for table in self._tables():
            yield from (Item(**row) for row in table.to_pylist())


def items_file(part: int) -> str:
    return f"items/{part:05d}.parquet"


def final_file(part: int) -> str:
    return f"final/{part:05d}.parquet"


def zip_rows(items: pa.Table, rows: pa.Table) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(item, its row) for the items that have one. rows: in the items' order."""
    remaining = iter(rows.to_pylist())
    row = next(remaining, None)
    for item in items.to_pylist():
        if row is not None and (row["key"], row["style"]) == (item["key"], item["style"]):
            yield item, row
            row = next(remaining, None)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
