"""What a run is to work on: the source's listing, or a manifest, as items with planned output keys.

Everything streams: memory grows by 16 bytes an item (hashes of names, for the collision check).
"""

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import NamedTuple
from unicodedata import normalize

import numpy as np
import pyarrow as pa

from pcakd.bulk.inventory import Inventory, open_inventory
from pcakd.bulk.job import BucketJob
from pcakd.bulk.manifest import Manifest, ManifestRow, read_manifest_table
from pcakd.bulk.naming import MAX_BYTES, output_key
from pcakd.bulk.schema import FOLDER, ITEM_SCHEMA
from pcakd.errors import UsageError
from pcakd.photos.leftovers import is_clip, is_left_out
from pcakd.storage import LocalStorage, ObjectInfo, Storage, shown
from pcakd.storage.keys import text

HEADS = 2_000
"""Manifests of at most so many objects are looked up one by one, larger ones in the source's whole listing."""
_HEADS_AT_ONCE = 16
_S3_KEY_BYTES = 1024


class Item(NamedTuple):
    """One source object in one style; the columns of ITEM_SCHEMA."""

    key: str
    size: int
    etag: str
    style: str
    output: str
    transform: str | None = None
    strength: float | None = None
    smoothing: str | None = None
    version: str | None = None

    def told(self) -> tuple[object, ...]:
        """What tells it from others; without the version where there is none, as before items had any."""
        return tuple(self) if self.version else tuple(self)[:-1]


def open_manifest(job: BucketJob) -> Manifest | None:
    """The job's manifest, checked; None where it has none."""
    return None if job.manifest is None else read_manifest_table(job.manifest, job.style_specs())


def open_listing(job: BucketJob, source: Storage) -> Inventory | None:
    """The job's inventory, its manifest checked; None where it has none, so that the source is listed."""
    return None if job.inventory is None else open_inventory(job.inventory, source)


def plan_items(
    job: BucketJob,
    source: Storage,
    dest: Storage,
    manifest: Manifest | None,
    version: str = "",
    *,
    inventory: Inventory | None = None,
    former_names: bool = False,
) -> Iterator[Item]:
    """The items of a run, in the order of keys, then styles; version: of the model, for names that tell it;
    inventory: as `open_listing` gives it; former_names: as `Ledger.former_names` tells.

    Raises UsageError where there are none.
    """
    styles = list(job.style_specs())
    template, room = job.output_template(), _room(dest)
    found = False
    for info, row in islice_objects(_selected(job, source, manifest, inventory), job.limit):
        found = True
        if job.look == "shared" and row and (row.transform or row.smoothing):
            raise UsageError(f"{shown(info.key)}: has a transform or smoothing of its own, but look is 'shared'")
        for style in [row.style] if row and row.style else styles:
            output = output_key(
                info.key,
                template=template,
                style=style,
                version=version,
                format=job.format,
                max_bytes=room,
                former=former_names,
                clip=job.videos and is_clip(info.key),
            )
            options = (row.transform, row.strength, row.smoothing) if row else (None, None, None)
            listed = (info.version or None) if inventory else None
            yield Item(text(info.key), info.size, info.etag, style, output, *options, listed)
    if not found:
        chosen = " that the globs take" if job.include or job.exclude else ""
        raise UsageError(f"{source}: holds no objects{chosen}")


def islice_objects(
    pairs: Iterable[tuple[ObjectInfo, ManifestRow | None]], limit: int | None
) -> Iterator[tuple[ObjectInfo, ManifestRow | None]]:
    """The pairs of the first `limit` objects (an object may have several)."""
    count, last = 0, None
    for info, row in pairs:
        if info.key != last:
            count, last = count + 1, info.key
            if limit is not None and count > limit:
                return
        yield info, row


def _selected(
    job: BucketJob, source: Storage, manifest: Manifest | None, inventory: Inventory | None
) -> Iterator[tuple[ObjectInfo, ManifestRow | None]]:
    wanted = key_filter(job.include, job.exclude)
    if manifest is not None:
        yield from ((info, row) for info, row in _in_manifest(source, manifest, inventory) if wanted(info.key))
        return
    for info in (inventory or source).list(literal_prefix(job.include)):
        # Ledgers of jobs that wrote here are no photos, nor are the "folders" that consoles make.
        if info.key.startswith(f"{FOLDER}/") or (info.key.endswith("/") and not info.size):
            continue
        if wanted(info.key):
            yield info, None


def key_filter(include: Iterable[str], exclude: Iterable[str]) -> Callable[[str], bool]:
    """Whether a whole key is taken: some include glob matches it, or there is none, and no exclude glob does."""
    takes, leaves = ([re.compile(fnmatch.translate(glob)).match for glob in globs] for globs in (include, exclude))

    def wanted(key: str) -> bool:
        return (not takes or any(take(key) for take in takes)) and not any(leave(key) for leave in leaves)

    return wanted


def literal_prefix(include: Iterable[str]) -> str:
    """What every key that one of the globs matches begins with: only that has to be listed."""
    heads = [re.split(r"[*?\[]", glob, maxsplit=1)[0] for glob in include]
    shared = 0
    while heads and all(len(head) > shared and head[shared] == heads[0][shared] for head in heads):
        shared += 1
    return heads[0][:shared] if heads else ""


def _in_manifest(
    source: Storage, manifest: Manifest, inventory: Inventory | None
) -> Iterator[tuple[ObjectInfo, ManifestRow]]:
    def missing(row: ManifestRow) -> UsageError:
        place = inventory.name if inventory else source
        return UsageError(f"{manifest.name}: row {row.row}: {place} has no object {shown(row.key)!r}")

    if len(manifest) <= HEADS and inventory is None:
        with ThreadPoolExecutor(_HEADS_AT_ONCE, thread_name_prefix="head") as threads:
            rows = list(manifest.rows())
            for row, info in zip(rows, threads.map(lambda row: _head(source, row.key), rows), strict=True):
                if info is None:
                    raise missing(row)
                yield info, row
        return
    listing = iter((inventory or source).list())
    entry = next(listing, None)
    for row in manifest.rows():
        while entry is not None and text(entry.key) < row.key:
            entry = next(listing, None)
        if entry is None or text(entry.key) != row.key:
            raise missing(row)
        yield entry, row


def _head(source: Storage, key: str) -> ObjectInfo | None:
    try:
        return source.head(key)
    except UsageError as error:
        if type(error) is not UsageError:
            raise
        return None  # not a name that this storage can hold


def _room(dest: Storage) -> int:
    """Bytes that an output key may have so that the whole key fits S3."""
    prefix = 0 if isinstance(dest, LocalStorage) else len(dest.uri("x").split("/", 3)[3].encode()) - 1
    return min(MAX_BYTES, _S3_KEY_BYTES - prefix)


class CollisionCheck:
    """Finds two items of one output, in 8 bytes an item (16 for a local destination)."""

    def __init__(self, dest: Storage, *, fold: bool = False, videos: bool = False) -> None:
        """fold: the destination takes names that differ in case or accents' encoding for the same; videos: as the
        job's."""
        self.dest, self.fold, self.videos = dest, fold, videos
        self._folders = isinstance(dest, LocalStorage)
        self._outputs: list[np.ndarray] = []
        self._parents: list[np.ndarray] = []
        self._chunk: list[int] = []
        self._parent_chunk: list[int] = []
        self._last_parent = ""

    def add(self, key: str, output: str) -> None:
        """An item's; what is left out by its name has no output that could be in the way."""
        if is_left_out(key, videos=self.videos):
            return
        output = self._folded(output)
        self._chunk.append(_hash(output))
        if self._folders and (parent := output.rpartition("/")[0]) != self._last_parent:
            self._last_parent = parent
            while parent:
                self._parent_chunk.append(_hash(parent))
                parent = parent.rpartition("/")[0]
        if len(self._chunk) >= 65_536:
            self._flush()

    def finish(self, again: Callable[[], Iterator[Item]]) -> None:
        """Raise UsageError if two items have one output, or one's output is a folder of another's on a local disk.

        again: gives the items once more, to name them.
        """
        self._flush()
        outputs = np.sort(np.concatenate(self._outputs))
        twice = outputs[1:][outputs[1:] == outputs[:-1]]
        folders = np.intersect1d(outputs, np.concatenate(self._parents))
        suspects = frozenset(np.concatenate([twice, folders]).tolist())
        if suspects:
            self._name(suspects, again())

    def _name(self, suspects: frozenset[int], items: Iterator[Item]) -> None:
        """Find the items behind equal hashes: two names with one 64-bit hash need not be the same name."""
        seen: dict[str, Item] = {}
        parents: dict[str, Item] = {}
        pairs: list[tuple[Item, Item]] = []
        for item in items:
            if is_left_out(item.key, videos=self.videos):
                continue
            output = self._folded(item.output)
            if _hash(output) in suspects:
                if output in seen:
                    pairs.append((seen[output], item))
                seen.setdefault(output, item)
            parent = output.rpartition("/")[0]
            while self._folders and parent:
                if _hash(parent) in suspects:
                    parents.setdefault(parent, item)
                parent = parent.rpartition("/")[0]
        for output in sorted(seen.keys() & parents.keys()):
            raise UsageError(
                f"{shown(parents[output].key)} needs a folder where the result of {shown(seen[output].key)} is "
                f"written, {shown(seen[output].output)}; name results with another template, or leave one out"
            )
        if pairs:
            first, second = pairs[0]
            more = f" (and {len(pairs) - 1:,} more)" if len(pairs) > 1 else ""
            raise UsageError(
                f"{_told(first)} and {_told(second)} would both be written to {shown(second.output)}{more}; "
                "tell them apart with a template such as {key} or {key}.{style}{ext}"
            )

    def _flush(self) -> None:
        self._outputs.append(np.array(self._chunk, np.uint64))
        self._parents.append(np.unique(np.array(self._parent_chunk, np.uint64)))
        self._chunk, self._parent_chunk = [], []

    def _folded(self, output: str) -> str:
        return normalize("NFC", output).casefold() if self.fold else output


def _told(item: Item) -> str:
    return f"{shown(item.key)} in style {item.style}"


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


def items_table(items: list[Item]) -> pa.Table:
    """Items as a table of ITEM_SCHEMA."""
    columns = zip(*items, strict=True)
    return pa.table(
        [pa.array(list(column), kind) for column, kind in zip(columns, ITEM_SCHEMA.types, strict=True)],
        schema=ITEM_SCHEMA,
    )
