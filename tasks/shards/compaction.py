"""Older shards in a new generation: rows that no longer count, and small shards that have become many."""

from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from pcakd.shards.dataset import ShardDataset, ShardInfo
from pcakd.shards.plan import Photos
from pcakd.shards.schema import SPLITS
from pcakd.storage.parquet import read_parquet

MANY = 16
"""So many shards of a split that are less than half full are packed anew. A photo is packed again at most once each
time that the number of photos beside it grows so much: a few times in its life."""


@dataclass(kw_only=True)
class Older:
    """What becomes of the shards of the generation before.

    staying: split → its shards that stay, with the rows of them that are dropped now.
    files:   shards that are packed anew; photos, keys: theirs that count; their parts are the numbers -1, -2, ... of
             the last file, the one before.
    """

    staying: dict[str, list[ShardInfo]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    photos: Photos = field(default_factory=Photos.none)
    keys: list[str] = field(default_factory=list)


def older_photos(base: ShardDataset | None, dropped: dict[str, set[str]], shard_bytes: int, *, growing: bool) -> Older:
    """The older shards without the keys that are dropped. growing: new shards come beside them."""
    older = Older()
    if base is None:
        return older
    found: list[Photos] = []
    again: list[tuple[int, ShardInfo]] = []
    for code, split in enumerate(SPLITS):
        shards = [_without(base, shard, dropped.get(shard.file)) for shard in base.shards(split)]
        shards = [shard for shard in shards if shard.rows]
        small = [shard for shard in shards if _bytes(shard) < shard_bytes / 2]
        if growing and len(small) >= MANY:
            again += [(code, shard) for shard in small]
            shards = [shard for shard in shards if shard not in small]
        older.staying[split] = shards
    older.files = [shard.file for _, shard in again]
    for place, (code, shard) in enumerate(again):
        keys = _keys(base, shard)
        rows = shard.counting(0, len(keys))
        older.keys += [keys[row] for row in rows]
        each = np.full(len(rows), max(1, _bytes(shard) // len(rows)), np.int64)
        found.append(
            Photos(
                part=np.full(len(rows), place - len(again), np.int32),
                row=rows.astype(np.int32),
                split=np.full(len(rows), code, np.int8),
                size=each,
                sha256=np.zeros(len(rows), "S32"),
            )
        )
    older.photos = Photos.joined([older.photos, *found])
    return older


def _without(base: ShardDataset, shard: ShardInfo, keys: set[str] | None) -> ShardInfo:
    if not keys:
        return shard
    places = [place for place, key in enumerate(_keys(base, shard)) if key in keys]
    dropped = tuple(sorted({*shard.dropped, *places}))
    return replace(shard, dropped=dropped, rows=shard.rows + len(shard.dropped) - len(dropped))


def _keys(base: ShardDataset, shard: ShardInfo) -> list[str]:
    table: pa.Table = read_parquet(base.storage, shard.file, columns=["key"])
    return table["key"].to_pylist()


def _bytes(shard: ShardInfo) -> int:
    """Of the photos that count, about."""
    return shard.bytes * shard.rows // (shard.rows + len(shard.dropped))
