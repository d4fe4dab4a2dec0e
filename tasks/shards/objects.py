"""The objects table: one row for every object of the listing, with what became of it."""

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from pcakd.photos.outcomes import DUPLICATE, OK
from pcakd.shards.dataset import ShardDataset
from pcakd.shards.plan import part_name
from pcakd.shards.report import ObjectCounts
from pcakd.shards.schema import OBJECTS_SCHEMA
from pcakd.storage import Storage
from pcakd.storage.parquet import parquet_writer, read_parquet
from tasks.shards.part import outcome_file

ROWS = 10_000
"""Rows of a row group, and what is held in memory at a time."""

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Homes:
    """Where each photo that was decoded ended, in the order of the listing.

    first:  index of the first photo with the same content, -1 where an older shard has it.
    home:   index into `shards`, -1 for a duplicate.
    shards: file names.
    """

    first: np.ndarray
    home: np.ndarray
    shards: list[str]


def read_outcomes(work: Storage, part_count: int) -> Iterator[pa.Table]:
    """The outcome tables of all parts, in order; some are fetched ahead."""
    with ThreadPoolExecutor(16) as threads:
        numbers = iter(range(part_count))
        while chunk := list(islice(numbers, 64)):
            yield from threads.map(lambda number: read_parquet(work, outcome_file(part_name(number))), chunk)


def write_objects(
    dest: Storage, key: str, outcomes: Iterable[pa.Table], homes: Homes, base: ShardDataset | None
) -> tuple[dict[str, Any], str]:
    """Write the table; (counts, SHA-256 of the file). base: the generation before, whose retried rows are renewed."""
    rows = _settled(outcomes, homes, _older_keys(base, homes))
    if base is not None:
        rows = _renewed(base, {row["key"]: row for row in rows})
    counts = ObjectCounts()
    with parquet_writer(dest, key, OBJECTS_SCHEMA) as writer:
        while chunk := list(islice(rows, ROWS)):
            table = pa.Table.from_pylist(chunk, OBJECTS_SCHEMA)
            writer.write_table(table, row_group_size=len(table))
            counts.add(table)
    return counts.to_json(), hashlib.sha256(dest.read(key)).hexdigest()


def _settled(outcomes: Iterable[pa.Table], homes: Homes, older: dict[str, str]) -> Iterator[Row]:
    """Outcome rows with their shard, or as duplicates of the photo that came first."""
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
                else:
                    same = keys[first] if first >= 0 else older[row["sha256"]]
                    row |= {
                        "status": DUPLICATE,
                        "split": None,
                        "duplicate_of": same,
                        "detail": f"same picture as {same}",
                    }
                photo += 1
            yield row


def _older_keys(base: ShardDataset | None, homes: Homes) -> dict[str, str]:
    """Hash → key of the photos in older shards; empty where no photo repeats one of them."""
    if base is None or not (homes.first < 0).any():
        return {}
    return {row["sha256"]: row["key"] for table in base.objects() for row in table.to_pylist() if row["status"] == OK}


def _renewed(base: ShardDataset, renewed: dict[str, Row]) -> Iterator[Row]:
    for table in base.objects():
        for row in table.to_pylist():
            yield renewed.get(row["key"], row)
