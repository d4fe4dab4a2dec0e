"""What a new listing of a source means for a dataset that is there: new, changed and gone objects, and which of two
same pictures counts.

All of it streams: memory grows with what has changed, not with the dataset.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from pcakd.photos.outcomes import DUPLICATE, OK, RETRIED
from pcakd.shards.beside import Row, Stretch, among, changed, pairs
from pcakd.storage import ObjectInfo, Storage
from pcakd.storage.keys import key_of

ADDED, CHANGED, REMOVED = "added", "changed", "removed"

COMPARED = ("key", "size", "etag", "status")
"""Columns of the objects table that `find_delta` reads."""
SETTLED = (*COMPARED, "sha256", "shard")
"""And `settle`."""


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

    def concerns(self, listed: pa.Table, rows: pa.Table, *, retry: bool) -> pa.ChunkedArray:
        """Which of the objects that are listed and known may be taken, or met again."""
        found = pc.or_(changed(listed, rows), among(rows["size"], self.sizes))
        found = pc.or_(found, pc.or_(among(rows["key"], self.lost), among(rows["duplicate_of"], self.lost)))
        return pc.or_(found, among(rows["status"], RETRIED)) if retry else found

    def may_be_met_again(self, row: Row) -> bool:
        """Whether an older photo may be the same file as one that has to be fetched."""
        same = row["size"] in self.sizes or row["key"] in self.lost
        return same and row["status"] == OK and bool(row.get("source_sha256"))


def find_delta(source: Storage, cut: Iterable[Stretch], *, retry: bool = False) -> Delta:
    """What a listing changes in a dataset. cut: both, with the columns `COMPARED`. retry: what failed and may pass
    counts as changed."""

    def wanted(listed: pa.Table, rows: pa.Table) -> pa.ChunkedArray:
        found = changed(listed, rows)
        return pc.or_(found, among(rows["status"], RETRIED)) if retry else found

    delta = Delta()
    for entry, row in pairs(cut, wanted):
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


def settle(source: Storage, cut: Iterable[Stretch], fetched: dict[str, str], contents: dict[str, str]) -> Settled:
    """Hold older photos against fetched ones. As in a dataset that is made at once, of the same pictures the one with
    the first key counts, whichever came earlier.

    cut: the listing beside the generation before, with the columns `SETTLED`. fetched: key → content hash of the photos
    that were fetched and are ok; contents: content hash → first such key.
    """

    def wanted(listed: pa.Table, rows: pa.Table) -> pa.ChunkedArray:
        return pc.or_(changed(listed, rows), among(rows["sha256"], contents))

    settled = Settled()
    for entry, row in pairs(cut, wanted):
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
