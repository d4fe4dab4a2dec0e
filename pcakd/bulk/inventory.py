"""An S3 Inventory as the listing of a source: no LIST request, however large the bucket.

    inventory = open_inventory("s3://reports/photos/daily/2026-11-25T01-00Z/manifest.json", source)
    for info in inventory.list("2026/"): ...           # ObjectInfo in the order of keys, as `Storage.list` gives them

S3 writes one daily or weekly: a `manifest.json`, and beside it files in CSV (gzip, keys URL-encoded), ORC or Parquet,
in no order. Each file is fetched to disk, held against its MD5 and sorted in stretches of `RUN_ROWS` rows, which are
then merged: memory does not grow with the bucket. Delete markers, versions that are not the latest, and objects outside
the source are left out.
"""

import gzip
import hashlib
import heapq
import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote_plus
from zlib import error as ZlibError

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.orc
import pyarrow.parquet as pq

from pcakd.errors import NotFoundError, UsageError
from pcakd.storage import ObjectInfo, Storage, open_storage, sha256_hex, shown

RUN_ROWS = 200_000
BATCH_ROWS = 5_000
COPY_BYTES = 16 << 20
MANIFEST = "manifest.json"
SCHEMA = pa.schema([("key", pa.string()), ("size", pa.int64()), ("etag", pa.string()), ("version", pa.string())])
_NEEDED = ("key", "size", "etag")
_OTHERS = ("bucket", "versionid", "islatest", "isdeletemarker")


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """An inventory whose manifest has been read.

    name: the manifest's address; digest: of its content, which has the files' MD5 in it; made: when S3 began it.
    """

    name: str
    digest: str
    made: datetime
    source: Any  # S3Storage; boto3 is imported where there is one
    files: tuple[tuple[str, str], ...]
    """(key, MD5) of each file."""
    data: Storage
    """Where the files lie."""
    format: str
    columns: tuple[str, ...]
    """Of CSV files, which have no header."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """The source's objects whose key starts with `prefix`, in the order of their keys; each once.

        Raises UsageError for files that are missing, damaged or of another form than the manifest says.
        """
        with tempfile.TemporaryDirectory(prefix="pcakd-inventory-") as folder:
            runs = [_read_run(path) for path in _sorted_runs(self._batches(Path(folder), prefix), Path(folder))]
            last = None
            for key, size, etag, version in heapq.merge(*runs):
                if key != last and key:
                    last = key
                    yield ObjectInfo(key=key, size=size, etag=etag, mtime=0.0, version=version)

    def _batches(self, folder: Path, prefix: str) -> Iterator[pa.Table]:
        """Tables of SCHEMA, in no order."""
        bucket, start = self.source.bucket, self.source.prefix
        for key, md5 in self.files:
            where = shown(self.data.uri(key))
            path = folder / "file"
            self._fetch(key, md5, path)
            try:
                for table in _tables(self.format, path, self.columns):
                    yield _chosen(table, bucket, start, prefix, encoded=self.format == "CSV")
            except (pa.ArrowException, OSError, EOFError, ZlibError, ValueError) as error:
                said = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise UsageError(f"{where}: is no {self.format} file of an inventory ({said})") from None
            path.unlink()

    def _fetch(self, key: str, md5: str, path: Path) -> None:
        """Copy a file to disk, a piece at a time."""
        digest = hashlib.md5(usedforsecurity=False)
        try:
            with self.data.open(key) as reader, path.open("wb") as file:
                while piece := reader.read(COPY_BYTES):
                    digest.update(piece)
                    file.write(piece)
        except NotFoundError:
            raise UsageError(f"{self.name}: names {shown(self.data.uri(key))}, which is not there") from None
        if md5 and digest.hexdigest() != md5.lower():
            raise UsageError(
                f"{shown(self.data.uri(key))}: is not the file that {self.name} names (MD5 differs); take another day's"
            )


def open_inventory(place: str, source: Storage) -> Inventory:
    """Read and check a manifest.json. source: the bucket, or a place in it, that the inventory is of.

    Raises UsageError in one line; NotFoundError, AccessError, TransientError of the storage.
    """
    from pcakd.storage.s3 import S3Storage

    assert isinstance(source, S3Storage)
    parent, _, name = place.rpartition("/")
    if not parent or not name:
        raise UsageError(f"{place}: is no inventory; give the address of its {MANIFEST}")
    try:
        data = open_storage(parent).read(name)
    except NotFoundError:
        raise NotFoundError(f"{place}: no such inventory; give the address of its {MANIFEST}") from None
    try:
        record = json.loads(data)
        bucket, kind, schema = record["sourceBucket"], record["fileFormat"], record["fileSchema"]
        target = record["destinationBucket"].rpartition(":")[2]
        files = tuple((str(file["key"]), str(file.get("MD5checksum", ""))) for file in record["files"])
        made = datetime.fromtimestamp(int(record["creationTimestamp"]) / 1000, UTC)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise UsageError(f"{place}: is no {MANIFEST} of an S3 Inventory") from None
    if bucket != source.bucket:
        raise UsageError(f"{place}: is an inventory of bucket {bucket}, and source is {source}")
    if kind not in ("CSV", "ORC", "Parquet"):
        raise UsageError(f"{place}: its files are {kind!r}: CSV, ORC and Parquet are read")
    columns = tuple(_plain(column) for column in schema.split(",")) if kind == "CSV" else ()
    if kind == "CSV":
        _check_columns(columns, place)
    return Inventory(
        name=place,
        digest=sha256_hex(data),
        made=made,
        source=source,
        files=files,
        data=S3Storage(target, endpoint=source.endpoint),
        format=kind,
        columns=columns,
    )


def _plain(column: str) -> str:
    """One spelling for the columns of all formats: VersionId, version_id → versionid."""
    return column.strip().replace("_", "").lower()


def _check_columns(columns: Iterable[str], place: str) -> None:
    if missing := [name for name in _NEEDED if name not in columns]:
        raise UsageError(f"{place}: the inventory has no {missing[0]}: have S3 list Size and ETag in it")


def _tables(kind: str, path: Path, columns: tuple[str, ...]) -> Iterator[pa.Table]:
    """The rows of a file, some at a time, with the columns that count under their plain names."""
    if kind == "CSV":
        read = pa.csv.ReadOptions(column_names=columns, block_size=4 << 20, use_threads=False)
        kinds = {name: pa.string() for name in columns}
        with gzip.open(path) if _is_gzip(path) else path.open("rb") as file:
            for batch in pa.csv.open_csv(
                file, read_options=read, convert_options=pa.csv.ConvertOptions(column_types=kinds)
            ):
                yield _renamed(pa.Table.from_batches([batch]), path)
    elif kind == "ORC":
        orc = pa.orc.ORCFile(path)
        for stripe in range(orc.nstripes):
            yield _renamed(pa.table(orc.read_stripe(stripe, columns=_wanted(orc.schema.names))), path)
    else:
        with pq.ParquetFile(path) as parquet:
            wanted = _wanted(parquet.schema_arrow.names)
            for batch in parquet.iter_batches(batch_size=RUN_ROWS // 4, columns=wanted, use_threads=False):
                yield _renamed(pa.Table.from_batches([batch]), path)


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _wanted(names: Iterable[str]) -> list[str]:
    return [name for name in names if _plain(name) in (*_NEEDED, *_OTHERS)]


def _renamed(table: pa.Table, path: Path) -> pa.Table:
    table = table.rename_columns([_plain(name) for name in table.column_names])
    _check_columns(table.column_names, path.name)
    return table


def _chosen(table: pa.Table, bucket: str, start: str, prefix: str, *, encoded: bool) -> pa.Table:
    """The rows that are objects of the source, as SCHEMA; keys count from the source's root."""
    for name, left_out in (("isdeletemarker", "true"), ("islatest", "false")):
        if name in table.column_names:
            flag = pc.fill_null(pc.utf8_lower(pc.cast(table[name], pa.string())), "")
            table = table.filter(pc.not_equal(flag, left_out))
    buckets = pc.unique(pc.cast(table["bucket"], pa.string())).to_pylist() if "bucket" in table.column_names else []
    if others := set(buckets) - {bucket}:
        raise ValueError(f"it lists bucket {others.pop()}")
    keys = pc.cast(table["key"], pa.string())
    if encoded and pc.any(pc.match_substring_regex(keys, "[%+]")).as_py():
        keys = pa.chunked_array([[unquote_plus(key, errors="strict") for key in keys.to_pylist()]], pa.string())
    sizes = pc.cast(
        pc.if_else(pc.equal(table["size"], ""), "0", table["size"]) if encoded else table["size"], pa.int64()
    )
    etags = pc.utf8_trim(pc.cast(table["etag"], pa.string()), '"')
    has_version = "versionid" in table.column_names
    versions = pc.cast(table["versionid"], pa.string()) if has_version else pa.nulls(len(table), pa.string())
    columns = [keys, pc.fill_null(sizes, 0), pc.fill_null(etags, ""), pc.fill_null(versions, "")]
    found = pa.table(columns, schema=SCHEMA)
    found = found.filter(pc.starts_with(found["key"], start + prefix)) if start + prefix else found
    if not start:
        return found
    return found.set_column(0, SCHEMA.field("key"), pc.binary_replace_slice(found["key"], 0, len(start.encode()), ""))


def _sorted_runs(tables: Iterator[pa.Table], folder: Path) -> Iterator[Path]:
    """Sorted stretches of all rows, each in a file of its own."""
    numbers, waiting = count(), []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= RUN_ROWS:
            yield _write_run(pa.concat_tables(waiting), folder / f"{next(numbers)}.arrow")
            waiting = []
    if waiting:
        yield _write_run(pa.concat_tables(waiting), folder / f"{next(numbers)}.arrow")


def _write_run(table: pa.Table, path: Path) -> Path:
    # UTF-8 sorts as code points do, which is the order that storages list keys in.
    table = table.take(pc.sort_indices(table, [("key", "ascending"), ("etag", "ascending")]))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=BATCH_ROWS)
    return path


def _read_run(path: Path) -> Iterator[tuple[str, int, str, str]]:
    file: IO[bytes]
    with path.open("rb") as file, pa.ipc.open_file(file) as reader:
        for number in range(reader.num_record_batches):
            yield from zip(*(column.to_pylist() for column in reader.get_batch(number).columns), strict=True)
