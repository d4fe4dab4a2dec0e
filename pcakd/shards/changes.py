"""What a new listing of a source means for a dataset that is there: new, changed and gone objects, and which of two
same pictures counts.

All of it streams: memory grows with what has changed, not with the dataset.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pcakd.photos.outcomes import DUPLICATE, OK, RETRIED
from pcakd.shards.dataset import ShardDataset
from pcakd.storage import ObjectInfo, Storage
from pcakd.storage.keys import key_of, text

Row = dict[str, Any]
"""Of the objects table."""

ADDED, CHANGED, REMOVED = "added", "changed", "removed"


COMPARED = ("key", "size", "etag", "status")
"""Columns of the objects table that `find_delta` reads."""
SETTLED = (*COMPARED, "sha256", "shard")
"""And `settle`."""


def object_rows(dataset: ShardDataset, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """The rows of the objects table, in the order of the keys; columns: with these alone, which is the faster way."""
    for table in dataset.objects(columns):
        yield from table.to_pylist()


def side_by_side(entries: Iterable[ObjectInfo], rows: Iterable[Row]) -> Iterator[tuple[ObjectInfo | None, Row | None]]:
    """Entries of a listing and rows of an objects table by key: (entry, its row), (new entry, None), (None, row of an
    object that has gone). Both in the order of keys."""
    following = iter(rows)
    row = next(following, None)
    for entry in entries:
        while row is not None and row["key"] != text(entry.key) and key_of(row["key"]) < entry.key:
            yield None, row
            row = next(following, None)
        if row is not None and row["key"] == text(entry.key):
            yield entry, row
            row = next(following, None)
        else:
            yield entry, None
    while row is not None:
        yield None, row
        row = next(following, None)


@dataclass(kw_only=True)
class Delta:
    """What a listing changes, without the rows themselves.

    counts: objects "added", "changed" and "removed".
    sizes:  bytes of the objects that are new or changed: only photos of these sizes can be the same file.
    lost:   keys of photos whose row no longer holds: their duplicates have to be looked at again.
    """

    counts: Counter[str] = field(default_factory=Counter)
    sizes: set[int] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    retried: int = 0

    @property
    def empty(self) -> bool:
        return not self.counts and not self.retried

    def takes(self, source: Storage, entry: ObjectInfo, row: Row | None, *, retry: bool) -> bool:
        """Whether an object that is listed has to be fetched. retry: also what failed for a reason that may pass."""
        if row is None or not source.unchanged(entry, row["size"], row["etag"]):
            return True
        if retry and row["status"] in RETRIED:
            return True
        return row["status"] == DUPLICATE and row["duplicate_of"] in self.lost

    def may_be_met_again(self, row: Row) -> bool:
        """Whether an older photo may be the same file as one that has to be fetched."""
        same = row["size"] in self.sizes or row["key"] in self.lost
        return same and row["status"] == OK and bool(row.get("source_sha256"))


def find_delta(source: Storage, entries: Iterable[ObjectInfo], rows: Iterable[Row], *, retry: bool = False) -> Delta:
    """What a listing changes in a dataset with these rows, of which `COMPARED` is read. retry: what failed and may pass
    counts as changed."""
    delta = Delta()
    for entry, row in side_by_side(entries, rows):
        if entry is None:
            delta.counts[REMOVED] += 1
        elif row is None:
            delta.counts[ADDED] += 1
        elif not source.unchanged(entry, row["size"], row["etag"]):
            delta.counts[CHANGED] += 1
        else:
            delta.retried += retry and row["status"] in RETRIED
            continue
        if entry is not None:
            delta.sizes.add(entry.size)
        if row is not None and row["status"] == OK:
            delta.lost.add(row["key"])
    return delta


@dataclass(kw_only=True)
class Settled:
    """Which photos of the older shards still count, beside those that were fetched.

    holders: content hash → the older row that holds it, of contents that were fetched and that the older one wins.
    beaten:  key of an older photo → the fetched key that its content is counted under now.
    dropped: shard → keys of its rows that no longer count.
    """

    holders: dict[str, Row] = field(default_factory=dict)
    beaten: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, set[str]] = field(default_factory=dict)

    def drop(self, row: Row) -> None:
        self.dropped.setdefault(row["shard"], set()).add(row["key"])


def settle(
    source: Storage,
    entries: Iterable[ObjectInfo],
    rows: Iterable[Row],
    fetched: dict[str, str],
    contents: dict[str, str],
) -> Settled:
    """Hold older photos against fetched ones. As in a dataset that is made at once, of the same pictures the one with
    the first key counts, whichever came earlier.

    rows: those of the generation before, of which `SETTLED` is read. fetched: key → content hash of the photos that
    were fetched and are ok; contents: content hash → first such key.
    """
    settled = Settled()
    for entry, row in side_by_side(entries, rows):
        if row is None or row["status"] != OK:
            continue
        key, content = row["key"], row["sha256"]
        unchanged = entry is not None and source.unchanged(entry, row["size"], row["etag"])
        if not unchanged and fetched.get(key) != content:
            settled.drop(row)
        elif content in contents:
            first = contents[content]
            if first != key and key_of(first) < key_of(key):
                settled.beaten[key] = first
                settled.drop(row)
            else:
                settled.holders[content] = row
    return settled
