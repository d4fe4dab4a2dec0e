"""A finished snapshot's results as shards, for people who train on them: tar as WebDataset reads it, or Parquet.

    <place>/<job id>-000001-3f0c12ab/shard-000000.tar     results in order: 000000012.jpg, 000000012.json (its row)
                                    /shard-000000.parquet or rows of PACKED_SCHEMA
                                    /index.parquet        key, style, shard, row of every result
                                    /manifest.json        written last: all of them are there

The folder's name has the snapshot's number and the digest of what is in it; what is in which shard depends on the final
rows alone, and a shard appears whole under its name. So whoever is killed goes on with the first shard that is not
there, and every good item is in exactly one.
"""

import io
import json
import tarfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from pcakd.bulk.ledger import Snapshot
from pcakd.bulk.schema import ROW_SCHEMA
from pcakd.errors import NotFoundError, UsageError
from pcakd.photos.leftovers import is_clip
from pcakd.photos.outcomes import OK
from pcakd.storage import LocalStorage, Storage, sha256_hex, shown
from pcakd.storage.parquet import parquet_writer
from pcakd.storage.stage import canonical_json

Kind = Literal["parquet", "webdataset"]

SHARD_BYTES = 256 << 20
"""Of results; a shard has one more than fits at the most."""
SHARD_ROWS = 10_000
GROUP_BYTES = 32 << 20
"""Of a Parquet file's row group: what a reader holds at a time."""
AHEAD = 16
"""Results that are fetched at a time."""
SHARDS_AS_NOW = b"1"
"""Changed when the same rows are cut or written in another way."""
MANIFEST, INDEX = "manifest.json", "index.parquet"
PACKED_SCHEMA = pa.schema([*ROW_SCHEMA, pa.field("image", pa.large_binary(), nullable=False)])
"""A final row, and its result, encoded as it lies at the destination."""
INDEX_SCHEMA = pa.schema([("key", pa.string()), ("style", pa.string()), ("shard", pa.string()), ("row", pa.int64())])

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Packed:
    """place: the folder's address. shards, rows: how many. reused: they were there already."""

    place: str
    shards: int
    rows: int
    reused: bool


def pack_results(
    snapshot: Snapshot,
    dest: Storage,
    place: Storage,
    kind: Kind,
    *,
    job_id: str,
    tell: Callable[[str], None] = lambda words: None,
    shard_bytes: int = SHARD_BYTES,
) -> Packed:
    """Write the good results of a snapshot that is done, or what is missing of them.

    dest: where the results lie; place: where the shards go. tell: told what is done. One run at a time may do it.
    Raises UsageError for a result that is not what its row says; what the storages raise.
    """
    folder = place.sub(f"{job_id}-{snapshot.number:06d}-{_digest(snapshot)}")
    if folder.exists(MANIFEST):
        record = json.loads(folder.read(MANIFEST))
        return Packed(place=folder.uri(), shards=len(record["shards"]), rows=record["rows"], reused=True)
    if isinstance(folder, LocalStorage):
        folder.sweep()
    suffix = "tar" if kind == "webdataset" else "parquet"
    shards, count = [], 0
    with parquet_writer(folder, INDEX, INDEX_SCHEMA) as index:
        for number, rows in enumerate(_cut(snapshot, shard_bytes)):
            name = f"shard-{number:06d}.{suffix}"
            if (there := folder.head(name)) is None:
                tell(f"writing shard {number + 1}")
                write = _write_tar if kind == "webdataset" else _write_parquet
                write(folder, name, count, _with_results(rows, dest))
                there = folder.head(name)
            shards.append({"name": name, "rows": len(rows), "bytes": there.size if there else 0})
            index.write_table(_index(rows, name))
            count += len(rows)
    folder.write(
        MANIFEST,
        canonical_json({"job_id": job_id, "snapshot": snapshot.number, "kind": kind, "rows": count, "shards": shards}),
    )
    return Packed(place=folder.uri(), shards=len(shards), rows=count, reused=False)


def _digest(snapshot: Snapshot) -> str:
    """Of the good results: a run that tries failures again may add some to a snapshot."""
    digest = sha256(SHARDS_AS_NOW)
    for part in range(snapshot.parts):
        for row in _good(snapshot, part):
            digest.update(repr((row["key"], row["style"], row["sha256"])).encode())
    return digest.hexdigest()[:8]


def _good(snapshot: Snapshot, part: int) -> list[Row]:
    """Clips have no place among photos."""
    table = snapshot.final(part)
    return [row for row in table.filter(pc.equal(table["status"], OK)).to_pylist() if not is_clip(row["key"])]


def _cut(snapshot: Snapshot, shard_bytes: int) -> Iterator[list[Row]]:
    """The good rows, a shard's at a time."""
    rows: list[Row] = []
    size = 0
    for part in range(snapshot.parts):
        for row in _good(snapshot, part):
            rows.append(row)
            size += row["output_size"]
            if size >= shard_bytes or len(rows) == SHARD_ROWS:
                yield rows
                rows, size = [], 0
    if rows:
        yield rows


def _with_results(rows: list[Row], dest: Storage) -> Iterator[tuple[Row, bytes]]:
    """Each row with what lies at the destination, in order; some are fetched ahead."""
    waiting: deque[tuple[Row, Future[bytes]]] = deque()
    with ThreadPoolExecutor(AHEAD, thread_name_prefix="results") as threads:
        try:
            for row in rows:
                waiting.append((row, threads.submit(_result, dest, row)))
                if len(waiting) == AHEAD:
                    first, result = waiting.popleft()
                    yield first, result.result()
            while waiting:
                first, result = waiting.popleft()
                yield first, result.result()
        finally:
            threads.shutdown(cancel_futures=True)


def _result(dest: Storage, row: Row) -> bytes:
    where = shown(dest.uri(row["output"]))
    try:
        data = dest.read(row["output"])
    except NotFoundError:
        data = None
    if data is None or sha256_hex(data) != row["sha256"]:
        what = "is gone" if data is None else "is not what this job wrote there"
        raise UsageError(f"{where}: {what}, so it cannot go into a shard; --overwrite replace makes the results again")
    return data


def _write_tar(folder: Storage, name: str, first: int, pairs: Iterator[tuple[Row, bytes]]) -> None:
    with folder.writer(name) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number, (row, data) in enumerate(pairs, first):
            # WebDataset takes what stands before the first dot for the sample's name, so that keys cannot be names.
            _add(tar, f"{number:09d}.{_suffix(row, data)}", data)
            _add(tar, f"{number:09d}.json", canonical_json(_plain(row)))


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)  # of no time and nobody: the same results make the same shard
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def _suffix(row: Row, data: bytes) -> str:
    """As the result's name has it; by its content where that has none."""
    stem, dot, suffix = row["output"].rpartition("/")[2].rpartition(".")
    if dot and stem and suffix.isalnum():
        return suffix.lower()
    return "png" if data.startswith(b"\x89PNG") else "webp" if data[8:12] == b"WEBP" else "jpg"


def _plain(row: Row) -> Row:
    """A row as JSON has it."""
    values = {name: value for name, value in row.items() if value is not None}
    return values | {"finished": f"{row['finished']:%Y-%m-%dT%H:%M:%S.%fZ}"}


def _write_parquet(folder: Storage, name: str, first: int, pairs: Iterator[tuple[Row, bytes]]) -> None:
    with parquet_writer(folder, name, PACKED_SCHEMA) as writer:
        group: list[Row] = []
        size = 0
        for row, data in pairs:
            group.append(row | {"image": data})
            size += len(data)
            if size >= GROUP_BYTES:
                writer.write_table(pa.Table.from_pylist(group, PACKED_SCHEMA), row_group_size=len(group))
                group, size = [], 0
        if group:
            writer.write_table(pa.Table.from_pylist(group, PACKED_SCHEMA), row_group_size=len(group))


def _index(rows: list[Row], name: str) -> pa.Table:
    columns = [[row["key"] for row in rows], [row["style"] for row in rows], [name] * len(rows), range(len(rows))]
    return pa.table(
        [pa.array(column, kind) for column, kind in zip(columns, INDEX_SCHEMA.types, strict=True)], schema=INDEX_SCHEMA
    )
