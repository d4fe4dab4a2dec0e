"""Shards cut into pieces: the units of work of a pass over the photos."""

from collections.abc import Iterator
from dataclasses import dataclass

from pcakd.errors import UsageError
from pcakd.shards import SPLITS, ShardDataset
from pcakd.storage import Storage
from pcakd.storage.parquet import open_parquet

SMALLEST, LARGEST = 32, 1024
PIECES_WANTED = 128


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Rows `start` to `stop` (exclusive) of one shard."""

    index: int
    shard: str
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __str__(self) -> str:
        return f"{self.shard} rows {self.start}-{self.stop - 1}"


def cut_into_pieces(rows: list[tuple[str, int]], *, limit: int | None = None) -> list[Piece]:
    """Pieces of shards (key, number of rows), in order, over the first `limit` photos.

    Their size depends on the number of photos alone, not on the workers: about 128 pieces of 32 to 1,024 photos.
    A piece is what is lost with a worker, and each hands back some megabytes of moments.
    """
    total = sum(count for _, count in rows)
    total = total if limit is None else min(total, limit)
    size = min(max(-(-total // PIECES_WANTED), SMALLEST), LARGEST)
    pieces: list[Piece] = []
    left = total
    for shard, count in rows:
        count, start = min(count, left), 0
        while start < count:
            stop = min(start + size, count)
            pieces.append(Piece(index=len(pieces), shard=shard, start=start, stop=stop))
            start = stop
        left -= count
    return pieces


def shard_rows(dataset: ShardDataset, split: str) -> list[tuple[str, int]]:
    """(key, number of rows) of every shard of a split, "all" for every split, in order. Raises UsageError for none."""
    rows = [
        (shard.file, shard.rows) for name in (SPLITS if split == "all" else (split,)) for shard in dataset.shards(name)
    ]
    if not rows:
        raise UsageError(f"{dataset.storage.uri()}: has no photos in the split {split!r}; use another --split")
    return rows


def piece_rows(storage: Storage, piece: Piece) -> Iterator[tuple[str, bytes]]:
    """(key, encoded photo) of a piece's rows, one row group in memory at a time."""
    with open_parquet(storage, piece.shard) as file:
        first = 0
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            start, stop = max(piece.start - first, 0), min(piece.stop - first, count)
            if start < stop:
                table = file.read_row_group(group, columns=["key", "image"]).slice(start, stop - start)
                for key, image in zip(table["key"], table["image"], strict=True):
                    yield key.as_py(), image.as_py()
            first += count
            if first >= piece.stop:
                return
