"""The objects table: one row for every object of the listing, with what became of it."""

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pcakd.photos.outcomes import DUPLICATE, OK
from pcakd.shards.beside import Row, Stretch, among
from pcakd.shards.changes import Settled
from pcakd.shards.plan import part_name
from pcakd.shards.report import ObjectCounts
from pcakd.shards.schema import LISTING_SCHEMA, OBJECTS_SCHEMA
from pcakd.storage import Storage
from pcakd.storage.parquet import parquet_writer, read_parquet
from tasks.shards.part import outcome_file

ROWS = 10_000
"""Rows of a row group, and what is held in memory at a time."""


@dataclass(frozen=True, kw_only=True)
class Homes:
    """Where each photo that was decoded ended, in the order of the listing.

    first:   index of the first photo with the same content, -1 where an older shard has it.
    home:    index into `shards`, -1 for a duplicate.
    shards:  file names.
    settled: how they stand to the photos of older shards.
    moved:   key → new shard of photos that were packed anew.
    """

    first: np.ndarray
    home: np.ndarray
    shards: list[str]
    settled: Settled = field(default_factory=Settled)
    moved: dict[str, str] = field(default_factory=dict)


def read_outcomes(work: Storage, part_count: int) -> Iterator[pa.Table]:
    """The outcome tables of all parts, in order; some are fetched ahead."""
    with ThreadPoolExecutor(16) as threads:
        numbers = iter(range(part_count))
        while chunk := list(islice(numbers, 64)):
            yield from threads.map(lambda number: read_parquet(work, outcome_file(part_name(number))), chunk)


def write_objects(
    dest: Storage,
    key: str,
    outcomes: Iterable[pa.Table],
    homes: Homes,
    cut: Iterable[Stretch] | None,
) -> tuple[dict[str, Any], str]:
    """Write the table; (counts, SHA-256 of the file).

    outcomes: of the objects that were fetched. cut: of a dataset that grows, the listing beside the generation before.
    """
    rows = _settled(outcomes, homes)
    tables = _tables(rows) if cut is None else _merged(cut, rows, homes)
    counts = ObjectCounts()
    with parquet_writer(dest, key, OBJECTS_SCHEMA) as writer:
        for table in _groups(tables):
            writer.write_table(table, row_group_size=len(table))
            counts.add(table)
    return counts.to_json(), hashlib.sha256(dest.read(key)).hexdigest()


def _settled(outcomes: Iterable[pa.Table], homes: Homes) -> Iterator[Row]:
    """Outcome rows with their shard, or as duplicates of the photo that counts."""
    named = set(homes.first[homes.home < 0].tolist())
    keys: dict[int, str] = {}
    photo = 0
    for table in outcomes:
        for row in table.to_pylist():
            if row["status"] == OK:
                if photo in named:
                    keys[photo] = row["key"]
                home, first = int(homes.home[photo]), int(homes.first[photo])
                if home >= 0:
                    row["shard"] = homes.shards[home]
                elif first >= 0:
                    _repeats(row, keys[first])
                else:
                    holder = homes.settled.holders[row["sha256"]]
                    if holder["key"] == row["key"]:  # another ETag, the same picture: it stays where it is
                        row["shard"] = homes.moved.get(row["key"], holder["shard"])
                    else:
                        _repeats(row, holder["key"])
                photo += 1
            yield row


def _repeats(row: Row, key: str) -> None:
    """Make a row one of a duplicate."""
    row |= {"status": DUPLICATE, "split": None, "shard": None, "duplicate_of": key, "detail": f"same picture as {key}"}


def _tables(rows: Iterator[Row]) -> Iterator[pa.Table]:
    while chunk := list(islice(rows, ROWS)):
        yield pa.Table.from_pylist(chunk, OBJECTS_SCHEMA)


def _groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows, `ROWS` at a time, however they are cut."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        while sum(map(len, waiting)) >= ROWS:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, ROWS).combine_chunks()
            waiting = [whole.slice(ROWS)]
    if any(map(len, waiting)):
        yield pa.concat_tables(waiting).combine_chunks()


def _merged(cut: Iterable[Stretch], fetched: Iterator[Row], homes: Homes) -> Iterator[pa.Table]:
    """Rows of all that is listed, in order: those of what was fetched, and for the rest those of before."""
    following = next(fetched, None)
    for listed, older in cut:
        start, end = 0, 0 if listed is None else len(listed)
        while start < end:
            assert listed is not None
            place = -1 if following is None else pc.index(listed["key"].slice(start), following["key"]).as_py()
            kept = end - start if place < 0 else place
            if kept:
                assert older is not None  # what is new was fetched
                yield _kept(listed.slice(start, kept), older.slice(start, kept), homes)
            start += kept
            if place >= 0:
                yield pa.Table.from_pylist([following], OBJECTS_SCHEMA)
                following, start = next(fetched, None), start + 1


def _kept(listed: pa.Table, older: pa.Table, homes: Homes) -> pa.Table:
    """Rows of before for objects that were not fetched, with what the listing says of them now."""
    beaten, moved = homes.settled.beaten, homes.moved
    columns = {name: older[name] for name in older.column_names} | {name: listed[name] for name in LISTING_SCHEMA.names}
    nothing = pa.nulls(len(listed))
    whole = [columns[field.name] if field.name in columns else nothing.cast(field.type) for field in OBJECTS_SCHEMA]
    table = pa.Table.from_arrays(whole, schema=OBJECTS_SCHEMA)
    concerned = pc.or_(among(table["key"], {*beaten, *moved}), among(table["duplicate_of"], beaten))
    if not pc.any(concerned).as_py():
        return table
    rows = table.to_pylist()
    for row in rows:
        if row["key"] in beaten:
            _repeats(row, beaten[row["key"]])
        elif row["status"] == DUPLICATE and row["duplicate_of"] in beaten:
            _repeats(row, beaten[row["duplicate_of"]])
        elif row["key"] in moved:
            row["shard"] = moved[row["key"]]
    return pa.Table.from_pylist(rows, OBJECTS_SCHEMA)
