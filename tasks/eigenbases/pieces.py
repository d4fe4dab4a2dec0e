"""Shards cut into pieces: the units of work of a pass over the photos."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pcakd.errors import UsageError
from pcakd.shards import SPLITS, ShardDataset, ShardInfo
from pcakd.storage import Storage
from pcakd.storage.parquet import open_parquet

SMALLEST, LARGEST = 32, 1024
A_SHARD = 8
"""Pieces that a shard is cut into, where they come to more than the smallest and less than the largest."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Photos `start` to `stop` (exclusive) of one shard, counted without the rows that are dropped."""

    index: int
    shard: str
    start: int
    stop: int
    dropped: tuple[int, ...] = ()

    def __len__(self) -> int:
        return self.stop - self.start

    def __str__(self) -> str:
        return f"{self.shard} rows {self.start}-{self.stop - 1}"


def cut_into_pieces(shards: Sequence[ShardInfo], *, limit: int | None = None) -> list[Piece]:
    """Pieces of shards, in order, over the first `limit` photos.

    Where a shard is cut depends on its photos alone, not on the workers nor on the shards beside it. A piece is what is
    lost with a worker, and each hands back some megabytes of moments.
    """
    pieces: list[Piece] = []
    left = sum(shard.rows for shard in shards) if limit is None else limit
    for shard in shards:
        size = min(max(-(-shard.rows // A_SHARD), SMALLEST), LARGEST)
        count, start = min(shard.rows, left), 0
        while start < count:
            stop = min(start + size, count)
            pieces.append(Piece(index=len(pieces), shard=shard.file, start=start, stop=stop, dropped=shard.dropped))
            start = stop
        left -= count
    return pieces


def shards_of(dataset: ShardDataset, split: str) -> list[ShardInfo]:
    """The shards of a split, "all" for every split, in order. Raises UsageError for none."""
    shards = [shard for name in (SPLITS if split == "all" else (split,)) for shard in dataset.shards(name)]
    if not shards:
        raise UsageError(f"{dataset.storage.uri()}: has no photos in the split {split!r}; use another --split")
    return shards


def piece_rows(storage: Storage, piece: Piece) -> Iterator[tuple[str, bytes]]:
    """(key, encoded photo) of a piece's rows, one row group in memory at a time."""
    shard = ShardInfo(file=piece.shard, rows=0, bytes=0, sha256="", dropped=piece.dropped)
    with open_parquet(storage, piece.shard) as file:
        row = first = 0
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            counting = shard.counting(row, count)
            start, stop = max(piece.start - first, 0), min(piece.stop - first, len(counting))
            if start < stop:
                table = file.read_row_group(group, columns=["key", "image"]).take(pa.array(counting[start:stop]))
                for key, image in zip(table["key"], table["image"], strict=True):
                    yield key.as_py(), image.as_py()
            row, first = row + count, first + len(counting)
            if first >= piece.stop:
                return
