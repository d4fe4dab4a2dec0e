"""Packing: the photos of the parts go, in order, into shards of the asked size. Runs in a Ray task."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from pcakd.errors import FatalError
from pcakd.shards.dataset import ShardInfo
from pcakd.shards.plan import ShardPlan, part_name
from pcakd.shards.tables import write_shard
from pcakd.storage import Storage
from pcakd.storage.parquet import open_parquet
from tasks.shards.part import photos_file


def pack_shard(dest: Storage, work: Storage, plan: ShardPlan, finished: bool, older: Sequence[str] = ()) -> ShardInfo:
    """Write a shard, unless `finished` says that an earlier run did; read back, count and hash it.

    older: shards that are packed anew; the plan takes from them by the numbers -1, -2, ... of the last, the one before.
    """
    if not finished:
        write_shard(dest, plan.name, _rows(dest, work, plan, older))
    data = dest.read(plan.name)
    with open_parquet(dest, plan.name) as file:  # only the footer is fetched
        rows = file.metadata.num_rows
    expected = sum(len(taken) for _, taken in plan.takes)
    if rows != expected:
        raise FatalError(f"{dest.uri(plan.name)}: has {rows} rows where {expected} belong; delete it and run again")
    return ShardInfo(file=plan.name, rows=rows, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _rows(dest: Storage, work: Storage, plan: ShardPlan, older: Sequence[str]) -> Iterator[dict[str, Any]]:
    for part, taken in plan.takes:
        wanted, row = set(taken), 0
        place, key = (dest, older[part]) if part < 0 else (work, photos_file(part_name(part), plan.split))
        with open_parquet(place, key, whole=True) as file:
            for group in range(file.num_row_groups):
                for photo in file.read_row_group(group, use_threads=False).to_pylist():
                    if row in wanted:
                        yield photo
                    row += 1
