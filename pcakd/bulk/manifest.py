"""A manifest: a table of the objects to take, each with an optional style and options of its own.

    key,style,transform,strength,smoothing
    album/a.jpg,,,,                       in every style of the job
    album/b.jpg,evening,ot,0.7,none       in one of them, by its name

CSV or Parquet, by its suffix. Only `key` must be there; an empty value, and NaN, is the job's own. A key may come
again with another style, never with the same. CSV as spreadsheets write it is understood: UTF-8 or UTF-16 with a byte
order mark, commas, semicolons or tabs (what the header has), blanks around values of other columns than key, a column
without name that is empty throughout; and tables as pandas writes them: its index column is not looked at.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pcakd.errors import FatalError, NotFoundError, UsageError
from pcakd.fields import declared
from pcakd.storage import Storage, open_storage, sha256_hex, shown
from pcakd.storage.parquet import open_parquet
from pcakd.stylize.options import StylizeOptions

COLUMNS = ("key", "style", "transform", "strength", "smoothing")
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("style", pa.string()),
        ("transform", pa.string()),
        ("strength", pa.float64()),
        ("smoothing", pa.string()),
        ("row", pa.int64()),
    ]
)
CHUNK = 20_000


class ManifestRow(NamedTuple):
    """One row. style "": every style of the job; None: the job's own value; row: 1 is the first below the header."""

    key: str
    style: str
    transform: str | None
    strength: float | None
    smoothing: str | None
    row: int


class Manifest:
    """A manifest that has been read and checked; about 100 bytes of memory a row."""

    def __init__(self, name: str, digest: str, table: pa.Table) -> None:
        self.name, self.digest, self._table = name, digest, table

    def __len__(self) -> int:
        return len(self._table)

    def rows(self) -> Iterator[ManifestRow]:
        """In the order of keys, then styles."""
        for batch in self._table.to_batches(max_chunksize=CHUNK):
            yield from map(ManifestRow._make, zip(*(column.to_pylist() for column in batch.columns), strict=True))


def read_manifest_table(place: str, styles: Iterable[str]) -> Manifest:
    """Read and check a manifest, at a local path or s3:// address. styles: names that its rows may use.

    Raises UsageError in one line, naming the file, the row, the value; NotFoundError, AccessError, TransientError.
    """
    parent, slash, name = place.rpartition("/")
    storage, names = open_storage(parent or ("/" if slash else ".")), frozenset(styles)
    suffix = name.rpartition(".")[2].lower()
    if suffix not in ("csv", "tsv", "parquet"):
        raise UsageError(f"{place}: a manifest is a .csv, .tsv or .parquet file")
    if storage.head(name) is None:
        raise NotFoundError(f"{place}: no such manifest")
    data = storage.read(name)
    read = _parquet_rows if suffix == "parquet" else _csv_rows
    chunks, chunk = [], []
    for row in read(place, storage, name, data):
        chunk.append(_checked(place, row, names))
        if len(chunk) == CHUNK:
            chunks.append(_table(chunk))
            chunk = []
    table = pa.concat_tables([*chunks, _table(chunk)])
    if not len(table):
        raise UsageError(f"{place}: holds no objects")
    # UTF-8 sorts as code points do, which is the order that storages list keys in.
    table = table.take(pc.sort_indices(table, [("key", "ascending"), ("style", "ascending")]))
    manifest = Manifest(place, sha256_hex(data), table)
    _check_duplicates(manifest)
    return manifest


def _csv_rows(place: str, storage: Storage, name: str, data: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = io.TextIOWrapper(io.BytesIO(data), "utf-16" if utf16 else "utf-8-sig", newline="")
        first = text.readline()
        text = io.TextIOWrapper(io.BytesIO(data), "utf-16" if utf16 else "utf-8-sig", newline="")
        reader = csv.reader(text, strict=True, delimiter=_delimiter(first))
        header = [title.strip() for title in next(reader, [])]
        ignored = {number for number, title in enumerate(header) if title in _IGNORED}
        _check_columns(place, [title for number, title in enumerate(header) if number not in ignored])
        row = 0
        for values in reader:
            if not any(value.strip() for value in values):
                continue  # an empty line, or the empty rows below a spreadsheet's table
            row += 1
            if len(values) != len(header):
                raise UsageError(f"{place}: row {row} has {len(values)} values for {len(header)} columns")
            pairs = [pair for n, pair in enumerate(zip(header, values, strict=True)) if n not in ignored]
            yield row, {title: value if title == "key" else value.strip() for title, value in pairs}
    except UnicodeDecodeError as error:
        raise UsageError(f"{place}: is not a CSV file in UTF-8 (byte {error.start:,}); save it as CSV UTF-8") from None
    except csv.Error as error:
        raise UsageError(f"{place}: is not a CSV file (line {reader.line_num}: {error})") from None


_IGNORED = ("", "Unnamed: 0", "__index_level_0__")
"""Columns that no one wrote: pandas' index, and what a trailing comma makes."""


def _delimiter(header: str) -> str:
    """What stands between the header's names."""
    return max(",;\t", key=header.count)


def _parquet_rows(place: str, storage: Storage, name: str, data: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with open_parquet(storage, name, whole=True) as file:
            schema = file.schema_arrow
            unnamed = {title for title in schema.names if title in _IGNORED or title.startswith("__index_level_")}
            titles = [title for title in schema.names if title not in unnamed]
            if "key" in titles:  # a key that is the index is one all the same
                titles = [title for title in titles if title in COLUMNS or title not in _index_columns(schema)]
            _check_columns(place, titles)
            row = 0
            for batch in file.iter_batches(batch_size=CHUNK, use_threads=False, columns=titles):
                for values in batch.to_pylist():
                    row += 1
                    yield row, {title: _plain(value) for title, value in values.items()}
    except FatalError as error:
        raise UsageError(f"{place}: is not a Parquet file ({error})") from None


def _index_columns(schema: pa.Schema) -> set[str]:
    """Names of the columns that pandas says are a table's index."""
    try:
        found = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))["index_columns"]
    except (ValueError, KeyError):
        return set()
    return {name for name in found if isinstance(name, str)}


def _plain(value: Any) -> Any:
    """A value as it is meant: NaN is pandas' word for empty, a decimal is a number, bytes are text."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    return value


def _check_columns(place: str, names: list[str]) -> None:
    if unknown := [name for name in names if name not in COLUMNS]:
        raise UsageError(f"{place}: has a column {shown(unknown[0])!r}; columns are {', '.join(COLUMNS)}")
    if "key" not in names:
        raise UsageError(f"{place}: has no column key; its first line names the columns: {', '.join(COLUMNS)}")
    if len(set(names)) != len(names):
        raise UsageError(f"{place}: has a column twice; columns are {', '.join(COLUMNS)}")


def _checked(place: str, row: tuple[int, dict[str, Any]], styles: frozenset[str]) -> ManifestRow:
    number, values = row

    def wrong(name: str, why: str) -> UsageError:
        return UsageError(f"{place}: row {number}: {name} is {shown(repr(values[name]))}: {why}")

    def text(name: str) -> str | None:
        value = values.get(name)
        if value is not None and not isinstance(value, str):
            raise wrong(name, "give a text")
        return value or None

    if (key := text("key")) is None:
        raise UsageError(f"{place}: row {number}: key is empty")
    if (style := text("style")) is not None and style not in styles:
        raise wrong("style", f"use one of {', '.join(sorted(styles))}")
    chosen = {}
    for name in ("transform", "smoothing"):
        choices = declared(StylizeOptions)[name].choices or ()
        if (value := text(name)) is not None and value not in choices:
            raise wrong(name, f"use one of {', '.join(choices)}")
        chosen[name] = value
    strength = values.get("strength")
    if strength is not None and strength != "":
        try:
            strength = float(strength.replace(",", ".") if isinstance(strength, str) else strength)
        except (TypeError, ValueError):
            strength = math.nan
        bounds = declared(StylizeOptions)["strength"].bounds
        if bounds is None or strength not in bounds:
            raise wrong("strength", f"give {bounds and bounds.words()}")
    return ManifestRow(
        key,
        style or "",
        chosen["transform"],
        strength or None if strength == "" else strength,
        chosen["smoothing"],
        number,
    )


def _table(rows: list[ManifestRow]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
    return pa.table([pa.array(list(c), kind) for c, kind in zip(columns, SCHEMA.types, strict=True)], schema=SCHEMA)


def _check_duplicates(manifest: Manifest) -> None:
    last: ManifestRow | None = None
    for row in manifest.rows():
        if last and last.key == row.key and ("" in (last.style, row.style) or last.style == row.style):
            first, second = sorted((last.row, row.row))
            raise UsageError(f"{manifest.name}: row {second}: key {shown(row.key)!r} is in row {first} already")
        last = row
