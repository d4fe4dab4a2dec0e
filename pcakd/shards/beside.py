"""A listing beside the objects table of the generation before, as tables: of millions of objects the few that matter
become rows of Python, the rest stays in columns.

    for entry, row in pairs(stretches(listing, objects), wanted):
        ...

Both are in the order of the keys, and both stream.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pcakd.storage import ObjectInfo
from pcakd.storage.keys import key_of

Row = dict[str, Any]
"""Of the objects table."""
Stretch = tuple[pa.Table | None, pa.Table | None]
"""Rows of a listing, and of an objects table, of the same keys; None for objects that the other alone has."""
Pair = tuple[ObjectInfo | None, Row | None]
"""(entry, its row), (new entry, None), (None, row of an object that has gone)."""
Wanted = Callable[[pa.Table, pa.Table], pa.ChunkedArray]
"""Of listed objects and their rows: which of them matter."""


def stretches(listing: Iterable[pa.Table], objects: Iterable[pa.Table]) -> Iterator[Stretch]:
    """Cut a listing (LISTING_SCHEMA) and an objects table into stretches that belong together."""
    listing, objects = iter(listing), iter(objects)
    new, old = next(listing, None), next(objects, None)
    while new is not None and old is not None:
        if not len(new) or not len(old):
            new, old = new if len(new) else next(listing, None), old if len(old) else next(objects, None)
            continue
        count = min(len(new), len(old))
        first = pc.index(pc.equal(new["key"].slice(0, count), old["key"].slice(0, count)), False).as_py()
        if first != 0:
            count = count if first < 0 else first
            yield new.slice(0, count), old.slice(0, count)
            new, old = new.slice(count), old.slice(count)
        elif (key := _first(new)) < (other := _first(old)):
            count = _before(new, other)
            yield new.slice(0, count), None
            new = new.slice(count)
        else:
            count = _before(old, key)
            yield None, old.slice(0, count)
            old = old.slice(count)
    while new is not None:
        yield new, None
        new = next(listing, None)
    while old is not None:
        yield None, old
        old = next(objects, None)


def pairs(cut: Iterable[Stretch], wanted: Wanted) -> Iterator[Pair]:
    """What is new, what has gone, and of what is in both that which matters; in the order of the keys."""
    for listed, rows in cut:
        if listed is None:
            yield from ((None, row) for row in rows.to_pylist())  # type: ignore[union-attr]
        elif rows is None:
            yield from ((entry_of(row), None) for row in listed.to_pylist())
        else:
            mask = wanted(listed, rows)
            found = listed.filter(mask).to_pylist(), rows.filter(mask).to_pylist()
            yield from ((entry_of(entry), row) for entry, row in zip(*found, strict=True))


def changed(listed: pa.Table, rows: pa.Table) -> pa.ChunkedArray:
    """Of which objects size or ETag is another one."""
    return pc.or_(pc.not_equal(listed["size"], rows["size"]), pc.not_equal(listed["etag"], rows["etag"]))


def among(column: pa.ChunkedArray, values: Iterable[Any]) -> pa.ChunkedArray:
    """Which values are of this set."""
    return pc.is_in(column, value_set=pa.array(list(values), column.type))


def entry_of(row: Row) -> ObjectInfo:
    """The entry of a listing's row."""
    return ObjectInfo(**row | {"key": key_of(row["key"])})


def _first(table: pa.Table) -> str:
    return key_of(table["key"][0].as_py())


def _before(table: pa.Table, key: str) -> int:
    """How many of a table's rows come before a key."""
    return next((place for place, found in enumerate(table["key"]) if key_of(found.as_py()) >= key), len(table))
