"""The objects table: one row for every object of the listing, with what became of it."""

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from pcakd.photos.outcomes import DUPLICATE, OK
from pcakd.shards.changes import Row, Settled
from pcakd.shards.plan import part_name
from pcakd.shards.report import ObjectCounts
from pcakd.shards.schema import OBJECTS_SCHEMA
from pcakd.storage import ObjectInfo, Storage
from pcakd.storage.keys import text
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
    pairs: Iterable[tuple[ObjectInfo | None, Row | None]] | None,
) -> tuple[dict[str, Any], str]:
    """Write the table; (counts, SHA-256 of the file).

    outcomes: of the objects that were fetched. pairs: of a dataset that grows, entries of the listing beside the rows
    of the generation before (see `side_by_side`).
    """
    rows = _settled(outcomes, homes)
    if pairs is not None:
        rows = _merged(pairs, rows, homes)
    counts = ObjectCounts()
    with parquet_writer(dest, key, OBJECTS_SCHEMA) as writer:
        while chunk := list(islice(rows, ROWS)):
            table = pa.Table.from_pylist(chunk, OBJECTS_SCHEMA)
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


def _merged(
    pairs: Iterable[tuple[ObjectInfo | None, Row | None]], fetched: Iterator[Row], homes: Homes
) -> Iterator[Row]:
    """Rows of all that is listed, in order: those of what was fetched, and for the rest those of before."""
    beaten = homes.settled.beaten
    following = next(fetched, None)
    for entry, row in pairs:
        if entry is None:
            continue
        if following is not None and following["key"] == text(entry.key):
            yield following
            following = next(fetched, None)
            continue
        assert row is not None
        row |= {"size": entry.size, "etag": entry.etag, "mtime": entry.mtime}
        if row["key"] in beaten:
            _repeats(row, beaten[row["key"]])
        elif row["status"] == DUPLICATE and row["duplicate_of"] in beaten:
            _repeats(row, beaten[row["duplicate_of"]])
        elif row["key"] in homes.moved:
            row["shard"] = homes.moved[row["key"]]
        yield row
