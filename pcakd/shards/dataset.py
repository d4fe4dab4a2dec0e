"""Reading a sharded dataset.

dataset = open_dataset("s3://bucket/shards")
for row in dataset.rows("train"):
    photo = read_photo(row.image)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from pcakd.checks import one_of
from pcakd.errors import FatalError, UsageError
from pcakd.shards.schema import SPLITS
from pcakd.storage import Storage, open_storage, sha256_hex
from pcakd.storage.parquet import open_parquet
from pcakd.storage.stage import MANIFEST, read_manifest

GENERATIONS = "generations"
ROOT = "root"
"""In the manifest of one generation: that the files it names lie two folders above."""


@dataclass(frozen=True, kw_only=True)
class ShardRow:
    """One photo. image: encoded, of width × height pixels; the fields are those of SHARD_SCHEMA."""

    key: str
    image: bytes = field(repr=False)
    width: int
    height: int
    source_uri: str
    source_etag: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ShardInfo:
    """A shard as the manifest lists it.

    file: key under the dataset's root; rows: photos of it that count; bytes, sha256: of the file.
    dropped: places, from 0 on, of the rows that no longer count: their objects have gone or changed since.
    """

    file: str
    rows: int
    bytes: int
    sha256: str
    dropped: tuple[int, ...] = ()

    @classmethod
    def listed(cls, entry: dict[str, Any]) -> "ShardInfo":
        """The shard of a manifest's entry."""
        return cls(**entry | {"dropped": tuple(entry.get("dropped", ()))})

    def entry(self) -> dict[str, Any]:
        """Inverse of `listed`; "dropped" is left out where there is none."""
        entry: dict[str, Any] = {"file": self.file, "rows": self.rows, "bytes": self.bytes, "sha256": self.sha256}
        return entry | ({"dropped": list(self.dropped)} if self.dropped else {})

    @property
    def identity(self) -> str:
        """Of the photos that count: the file's hash, with what is dropped of it."""
        if not self.dropped:
            return self.sha256
        return f"{self.sha256}-{sha256_hex(','.join(map(str, self.dropped)).encode())[:16]}"

    def counting(self, first: int, count: int) -> np.ndarray:
        """Which of the file's rows `first` to `first + count` count: their places among these, from 0 on."""
        places = np.arange(count)
        return places[~np.isin(places + first, self.dropped)] if self.dropped else places


@dataclass(frozen=True)
class ShardDataset:
    """A generation of a dataset, finished. Cheap to pickle: workers open their own shards."""

    storage: Storage
    manifest: dict[str, Any] = field(repr=False)

    @property
    def digest(self) -> str:
        """Hash of all shards' contents: what a checkpoint names as its training data."""
        return self.manifest["digest"]

    @cached_property
    def splits(self) -> dict[str, list[ShardInfo]]:
        """Split → its shards, in the order of their rows."""
        return {
            name: [ShardInfo.listed(shard) for shard in split["shards"]]
            for name, split in self.manifest["splits"].items()
        }

    def shards(self, split: str) -> list[ShardInfo]:
        """The shards of a split. Raises UsageError for a split of another name."""
        one_of("split", split, SPLITS)
        return self.splits.get(split, [])

    def count(self, split: str) -> int:
        """Photos in a split."""
        return sum(shard.rows for shard in self.shards(split))

    def tables(
        self, split: str, *, columns: Sequence[str] | None = None, shards: Sequence[ShardInfo] | None = None
    ) -> Iterator[pa.Table]:
        """The photos as tables of SHARD_SCHEMA, a row group (8 MiB of photos) at a time, in their fixed order.

        shards: only those, in that order; a worker takes its share of `shards(split)`.
        """
        for shard in self.shards(split) if shards is None else shards:
            with open_parquet(self.storage, shard.file) as file:
                first = 0
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group, columns=columns and list(columns), use_threads=False)
                    counting = shard.counting(first, len(table))
                    first += len(table)
                    yield table if len(counting) == len(table) else table.take(pa.array(counting))

    def rows(self, split: str, *, shards: Sequence[ShardInfo] | None = None) -> Iterator[ShardRow]:
        """The photos one by one, in their fixed order."""
        for table in self.tables(split, shards=shards):
            for row in table.to_pylist():
                yield ShardRow(**row)

    def objects(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The objects table (OBJECTS_SCHEMA): a row for every object that was listed, a piece at a time. columns: only
        these."""
        with open_parquet(self.storage, self.manifest["objects"]["file"]) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=columns and list(columns), use_threads=False)

    def verify(self) -> None:
        """Read every shard and hold it against the manifest, every photo against its hash. Raises FatalError."""
        for split in SPLITS:
            for shard in self.shards(split):
                if sha256_hex(self.storage.read(shard.file)) != shard.sha256:
                    raise FatalError(f"{self.storage.uri(shard.file)}: is not the file that the manifest lists")
                for row in self.rows(split, shards=[shard]):
                    if sha256_hex(row.image) != row.sha256:
                        raise FatalError(f"{self.storage.uri(shard.file)}: the photo {row.key!r} is damaged")


def generation_name(number: int) -> str:
    """Where, under a dataset's root, a generation has its manifest, to be opened as a dataset of its own."""
    return f"{GENERATIONS}/{number:06d}"


def generation_place(place: str, manifest: dict[str, Any]) -> str:
    """The address that goes on meaning the generation of this manifest, when the dataset in `place` has grown."""
    return f"{place}/{generation_name(manifest['generation'])}"


def open_dataset(place: str | Storage) -> ShardDataset:
    """The dataset in a folder or under an s3:// prefix: its newest generation; or, where the address ends in
    `generations/NNNNNN`, that one. Raises UsageError when none is finished there."""
    storage = open_storage(place) if isinstance(place, str) else place
    manifest = read_manifest(storage)
    if manifest is None:
        raise UsageError(f"{storage.uri()}: holds no finished dataset ({MANIFEST} is missing); run `pcakd shard` first")
    if manifest.get("stage") != "shards" or set(manifest.get("splits", ())) != set(SPLITS):
        raise UsageError(f"{storage.uri(MANIFEST)}: is not the manifest of a sharded dataset")
    if manifest.get(ROOT) is not None:
        storage = open_storage(storage.uri().rpartition(f"/{GENERATIONS}/")[0])
    return ShardDataset(storage, manifest)
