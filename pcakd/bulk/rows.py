"""Rows of a ledger: which one counts for an item, which items are left, which rows a new snapshot takes over."""

import io
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pcakd.bulk.schema import ROW_SCHEMA
from pcakd.errors import FatalError
from pcakd.photos.outcomes import ARCHIVED, EXISTS, OK
from pcakd.storage import ObjectInfo, Storage
from pcakd.storage.keys import key_of, text
from pcakd.storage.parquet import parquet_options

_SAME = ("output", "transform", "strength", "smoothing")


def rows_table(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table of ROW_SCHEMA; what a row leaves out is null, what is no text in a text is escaped."""
    try:
        return pa.Table.from_pylist(rows, ROW_SCHEMA)
    except UnicodeEncodeError:  # the message of some library, with the bytes of a file name in it
        escaped = [{k: text(v) if isinstance(v, str) else v for k, v in row.items()} for row in rows]
        return pa.Table.from_pylist(escaped, ROW_SCHEMA)


def rows_bytes(table: pa.Table) -> bytes:
    """The table as a Parquet file."""
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, table.schema, **parquet_options(table.schema)) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def merge_rows(items: pa.Table, tables: Iterable[pa.Table]) -> pa.Table:
    """One row for each item that has any, in the items' order.

    Of several rows of one item one counts: ok before a permanent failure, a permanent failure before one that may
    pass, and among rows of equal rank the one that finished last. So it
    does not matter in which order rows came, nor how often. Raises FatalError for a row of no item.
    """
    table = pa.concat_tables([ROW_SCHEMA.empty_table(), *tables], promote_options="default")
    place = {pair: i for i, pair in enumerate(zip(items["key"].to_pylist(), items["style"].to_pylist(), strict=True))}
    best: list[int] = [-1] * len(items)
    ranks: list[tuple] = [()] * len(items)
    columns = (
        table["key"].to_pylist(),
        table["style"].to_pylist(),
        table["status"].to_pylist(),
        table["passing"].to_pylist(),
        table["finished"].cast(pa.int64()).to_pylist(),
        table["run"].to_pylist(),
    )
    for i, (key, style, status, passing, finished, run) in enumerate(zip(*columns, strict=True)):
        found = place.get((key, style))
        if found is None:
            raise FatalError(f"the ledger has a row of {key!r} in style {style!r}, which is no item of that part")
        rank = (2 if status == OK else 0 if passing else 1, finished or 0, run or "")
        if best[found] < 0 or rank > ranks[found]:
            best[found], ranks[found] = i, rank
    return table.take(pa.array([i for i in best if i >= 0], pa.int64()))


def pending_items(items: pa.Table, rows: pa.Table) -> pa.Table:
    """The items without a row, or with one whose failure may pass. rows: as `merge_rows` gives them."""
    keys, styles, passing = (rows[name].to_pylist() for name in ("key", "style", "passing"))
    final = {(key, style) for key, style, may_pass in zip(keys, styles, passing, strict=True) if not may_pass}
    pairs = zip(items["key"].to_pylist(), items["style"].to_pylist(), strict=True)
    return items.filter(pa.array([pair not in final for pair in pairs], pa.bool_()))


def carried_rows(
    parts: Iterable[pa.Table],
    old: Iterator[tuple[dict[str, Any], dict[str, Any]]],
    overwrite: str,
    source: Storage,
) -> Iterator[pa.Table]:
    """For every part of a new snapshot the rows that it takes over: final ones, of items that have not changed.

    parts: item tables; old: (item, row) of the snapshot before; both in the order of keys, then styles. An item has
    not changed if the bytes that were read are those that are listed now, for the same output and options.
    overwrite: the policy; under another than "fail" a result in the way does not count. source: tells whether an
    object is the one of before, whose ETag may be of a kind that it no longer gives.
    """
    held = next(old, None)
    for items in parts:
        rows = []
        for item in items.to_pylist():
            name = key_of(item["key"]), item["style"]
            while held is not None and (key_of(held[0]["key"]), held[0]["style"]) < name:
                held = next(old, None)
            if held is None or (held[0]["key"], held[0]["style"]) != (item["key"], item["style"]):
                continue
            before, row = held
            # What lay in an archive may have been restored: its ETag does not tell.
            again = row["status"] == ARCHIVED or (row["status"] == EXISTS and overwrite != "fail")
            stands = not row["passing"] and not again
            if not stands or any(before[column] != item[column] for column in _SAME):
                continue
            now = ObjectInfo(key=name[0], size=item["size"], etag=item["etag"], mtime=0)
            if row["etag"] is not None and source.unchanged(now, row["size"], row["etag"]):
                rows.append(row | {"etag": item["etag"]})
        yield rows_table(rows)
