"""Writing shards, and the listing that they are made from."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import pyarrow as pa

from pcakd.shards.beside import entry_of
from pcakd.shards.schema import LISTING_SCHEMA, SHARD_SCHEMA
from pcakd.storage import ObjectInfo, Storage
from pcakd.storage.keys import text
from pcakd.storage.parquet import open_parquet, parquet_writer

ROW_GROUP_BYTES = 8 << 20
"""Encoded photos in a row group: what a streaming reader holds at a time."""

LISTING_ROWS = 10_000


def shard_name(split: str, number: int) -> str:
    """The file of a shard under the destination; names sort in the order of the rows."""
    return f"{split}/shard-{number:06d}.parquet"


def write_shard(storage: Storage, key: str, rows: Iterable[dict[str, Any]]) -> int:
    """Write rows of SHARD_SCHEMA, in row groups of `ROW_GROUP_BYTES`; how many rows.

    The same rows give the same bytes. The file appears whole, under its name, or not at all.
    """
    total = 0
    with parquet_writer(storage, key, SHARD_SCHEMA) as writer:
        for group in _groups(rows):
            writer.write_table(pa.Table.from_pylist(group, SHARD_SCHEMA), row_group_size=len(group))
            total += len(group)
    return total


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        group.append(row)
        size += len(row["image"])
        if size >= ROW_GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def write_listing(storage: Storage, key: str, entries: Iterable[ObjectInfo]) -> tuple[int, str]:
    """Write a listing as it arrives, in bounded memory; (number of objects, its `listing_digest`)."""
    digest, count = hashlib.sha256(), 0
    entries = iter(entries)
    with parquet_writer(storage, key, LISTING_SCHEMA) as writer:
        while chunk := list(islice(entries, LISTING_ROWS)):
            columns: dict[str, list] = {
                "key": [text(entry.key) for entry in chunk],
                "size": [entry.size for entry in chunk],
                "etag": [entry.etag for entry in chunk],
                "mtime": [entry.mtime for entry in chunk],
            }
            for entry in chunk:
                digest.update(_identity(entry))
            writer.write_table(pa.table(columns, LISTING_SCHEMA), row_group_size=len(chunk))
            count += len(chunk)
    return count, digest.hexdigest()


def listing_digest(entries: Iterable[ObjectInfo]) -> str:
    """SHA-256 over key, size and ETag of objects in the order of their listing."""
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(_identity(entry))
    return digest.hexdigest()


def _identity(entry: ObjectInfo) -> bytes:
    return f"{entry.key}\0{entry.size}\0{entry.etag}\n".encode(errors="surrogateescape")


def read_listing(storage: Storage, key: str) -> Iterator[ObjectInfo]:
    """The entries of a listing or of any table with its columns, in order, a row group at a time."""
    for table in listing_tables(storage, key):
        yield from map(entry_of, table.to_pylist())


def listing_tables(storage: Storage, key: str) -> Iterator[pa.Table]:
    """The same as tables of LISTING_SCHEMA."""
    with open_parquet(storage, key) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns=LISTING_SCHEMA.names, use_threads=False)
