"""One part of a sharding job, start to end: fetch, decode, shrink, encode, write. Runs in a Ray task."""

import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pcakd.errors import PcakdError, TransientError
from pcakd.photos.leftovers import is_left_out
from pcakd.photos.outcomes import CRASHED, LEFT_OUT, OK, UNREACHABLE, check_bytes, ends_the_job, status_of
from pcakd.shards.plan import Part
from pcakd.shards.prepare import PreparedPhoto, prepare_photo
from pcakd.shards.schema import COLOURS, OUTCOME_SCHEMA, SPLITS, split_of
from pcakd.shards.tables import write_shard
from pcakd.storage import LocalStorage, ObjectInfo, Storage, sha256_hex, shown
from pcakd.storage.keys import text
from pcakd.storage.parquet import open_parquet, read_parquet, write_parquet

READ_AHEAD_BYTES = 64 << 20
READ_AHEAD_OBJECTS = 16

OUTAGE = 8
"""So many objects in a row that cannot be reached are an outage of the storage, not of the objects."""


Known = dict[str, dict[str, Any]]
"""Hash of an object's bytes → the row of the photo that an older shard holds of it."""


@dataclass(frozen=True, kw_only=True)
class PartJob:
    """What all parts of a job have in common.

    work: where parts are written, under the destination.
    """

    source: Storage
    work: Storage
    shortest_side: int
    quality: int
    val_fraction: float
    max_pixels: int
    shards: Storage | None = None
    """Where the photos of older generations are."""


@dataclass(frozen=True, kw_only=True)
class PartResult:
    """What became of a part.

    outcome: table of OUTCOME_SCHEMA, a row an object, in the order of the listing.
    seconds: spent waiting for "fetch", in "decode", "resize", "encode", "write", and in "all".
    decoded: photos that had to be decoded.
    """

    number: int
    outcome: pa.Table
    seconds: dict[str, float] = field(default_factory=dict)
    decoded: int = 0


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """An object's content, or why there is none.

    info: the entry that belongs to the content that was read; of what was not read, the listing's.
    """

    info: ObjectInfo
    status: str = OK
    detail: str = ""
    data: bytes = field(default=b"", repr=False)


def photos_file(name: str, split: str) -> str:
    """Where, under the work folder, a part's photos of a split are."""
    return f"parts/{name}.{split}.parquet"


def outcome_file(name: str) -> str:
    """Where the outcome of a part is; it exists when the part is finished."""
    return f"parts/{name}.outcome.parquet"


def run_part(job: PartJob, part: Part, poison: frozenset[str] = frozenset(), known: Known | None = None) -> PartResult:
    """Work through a part and write it; its outcome file, written last, makes it finished.

    poison: keys that ended a worker before; they are marked "crashed", not touched.
    known: photos that older shards hold by the hash of their objects: a file of the same bytes is not decoded again.
    Raises AccessError when the credentials are refused, TransientError in an outage.
    """
    started = time.perf_counter()
    seconds: dict[str, float] = defaultdict(float)
    outcome: list[dict[str, Any]] = []
    decoded = 0
    photos: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for entry, fetched in _watched(job.source, _read_ahead(job.source, part.entries, poison, seconds)):
        row = {"key": text(entry.key), "size": entry.size, "etag": entry.etag, "mtime": entry.mtime}
        outcome.append(row)
        source_sha256 = sha256_hex(fetched.data) if fetched.status == OK else None
        prepared = _again(job, known, source_sha256) or _prepare(job, fetched)
        if isinstance(prepared, Fetched):
            row |= {"status": prepared.status, "detail": text(shown(prepared.detail)), "source_sha256": source_sha256}
            continue
        decoded += "decode" in prepared.seconds
        for step, spent in prepared.seconds.items():
            seconds[step] += spent
        split = split_of(entry.key, job.val_fraction)
        photos[split].append(_shard_row(job.source, fetched.info, prepared))
        row |= {
            "status": OK,
            "detail": "; ".join(prepared.notes) or None,
            "split": split,
            "source_width": prepared.source_width,
            "source_height": prepared.source_height,
            "bytes": len(prepared.image),
            "sha256": prepared.sha256,
            "source_sha256": source_sha256,
            **dict(zip(COLOURS, prepared.colour or (), strict=False)),
        }
    writing = time.perf_counter()
    for split, rows in photos.items():
        if rows:
            write_shard(job.work, photos_file(part.name, split), rows)
    table = pa.Table.from_pylist(outcome, OUTCOME_SCHEMA)
    write_parquet(job.work, outcome_file(part.name), table)
    seconds["write"] = time.perf_counter() - writing
    seconds["all"] = time.perf_counter() - started
    return PartResult(number=part.number, outcome=table, seconds=dict(seconds), decoded=decoded)


def do_part(job: PartJob, part: Part, poison: frozenset[str], finished: bool, known: Known | None = None) -> PartResult:
    """`run_part`, or where an earlier run finished the part, its outcome (with no seconds spent)."""
    if not finished:
        return run_part(job, part, poison, known)
    return PartResult(number=part.number, outcome=read_parquet(job.work, outcome_file(part.name)))


def probe(job: PartJob, entry: ObjectInfo) -> None:
    """Fetch and decode one object and forget it: to find out which one ends a worker."""
    _prepare(job, _fetch(job.source, entry, frozenset()))


def _read_ahead(
    source: Storage, entries: list[ObjectInfo], poison: frozenset[str], seconds: dict[str, float]
) -> Iterator[tuple[ObjectInfo, Fetched]]:
    """The entries with their content, fetched while others are decoded; bounded in number and bytes."""
    # A local disk needs one read ahead; S3 answers slowly, but many at once.
    ahead = 1 if isinstance(source, LocalStorage) else READ_AHEAD_OBJECTS
    todo: deque[ObjectInfo] = deque(entries)
    running: deque[tuple[ObjectInfo, Future[Fetched]]] = deque()
    size = 0
    with ThreadPoolExecutor(ahead, thread_name_prefix="fetch") as threads:
        try:
            while todo or running:
                while todo and (not running or (len(running) <= ahead and size + todo[0].size <= READ_AHEAD_BYTES)):
                    entry = todo.popleft()
                    size += entry.size
                    running.append((entry, threads.submit(_fetch, source, entry, poison)))
                entry, future = running.popleft()
                waiting = time.perf_counter()
                fetched = future.result()
                seconds["fetch"] += time.perf_counter() - waiting
                size -= entry.size
                yield entry, fetched
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


def _fetch(source: Storage, entry: ObjectInfo, poison: frozenset[str]) -> Fetched:
    if entry.key in poison:
        return Fetched(info=entry, status=CRASHED, detail="decoding it ended the worker process")
    if is_left_out(entry.key):
        return Fetched(info=entry, status=LEFT_OUT, detail="no photo, by its name")
    try:
        check_bytes(entry.size, entry.key)
        data, info = source.read_with_info(entry.key)
        return Fetched(info=info, data=data)
    except PcakdError as error:
        if ends_the_job(error):
            raise
        return Fetched(info=entry, status=status_of(error), detail=str(error))


def _watched(source: Storage, fetched: Iterator[tuple[ObjectInfo, Fetched]]) -> Iterator[tuple[ObjectInfo, Fetched]]:
    """Pass on what is fetched; raise TransientError where the storage is away, before a million objects are marked."""
    in_a_row = 0
    for entry, content in fetched:
        in_a_row = in_a_row + 1 if content.status == UNREACHABLE else 0
        if in_a_row == OUTAGE:
            raise TransientError(f"{OUTAGE} objects in a row cannot be read from {source}; last: {content.detail}")
        yield entry, content


def _again(job: PartJob, known: Known | None, source_sha256: str | None) -> PreparedPhoto | None:
    """The photo as an older shard holds it, None where none does or the shard cannot be read."""
    row = (known or {}).get(source_sha256 or "")
    if row is None or job.shards is None:
        return None
    try:
        image = _image_of(job.shards, row["shard"], row["key"])
    except PcakdError:
        return None
    if image is None or sha256_hex(image["image"]) != row["sha256"]:
        return None
    return PreparedPhoto(
        image=image["image"],
        width=image["width"],
        height=image["height"],
        source_width=row["source_width"],
        source_height=row["source_height"],
        sha256=row["sha256"],
        colour=_colour_of(row),
        notes=(row["detail"],) if row["detail"] else (),
        seconds={},
    )


def _colour_of(row: Mapping[str, Any]) -> tuple[float, ...] | None:
    """The mean colour in an objects table's row, None in one of before it was kept."""
    colour = tuple(value for name in COLOURS if (value := row.get(name)) is not None)
    return colour if len(colour) == len(COLOURS) else None


def _image_of(shards: Storage, shard: str, key: str) -> dict[str, Any] | None:
    """The row of a photo: keys are read first, then the one row group that has it."""
    with open_parquet(shards, shard) as file:
        for group in range(file.num_row_groups):
            keys = file.read_row_group(group, columns=["key"], use_threads=False)["key"]
            if (place := pc.index(keys, key).as_py()) >= 0:
                columns = ["image", "width", "height"]
                return file.read_row_group(group, columns=columns, use_threads=False).slice(place, 1).to_pylist()[0]
    return None


def _prepare(job: PartJob, fetched: Fetched) -> PreparedPhoto | Fetched:
    """The photo, or what was fetched with the reason why it is none."""
    if fetched.status != OK:
        return fetched
    name = fetched.info.key
    try:
        return prepare_photo(
            fetched.data,
            name=name,
            shortest_side=job.shortest_side,
            quality=job.quality,
            max_pixels=job.max_pixels,
        )
    except Exception as error:  # one photo must not end the job, whatever a decoder does with it
        detail = str(error) if isinstance(error, PcakdError) else f"{name}: {type(error).__name__}: {error}"
        return Fetched(info=fetched.info, status=status_of(error), detail=detail)


def _shard_row(source: Storage, info: ObjectInfo, photo: PreparedPhoto) -> dict[str, Any]:
    return {
        "key": text(info.key),
        "image": photo.image,
        "width": photo.width,
        "height": photo.height,
        "source_uri": text(source.uri(info.key)),
        "source_etag": info.etag,
        "sha256": photo.sha256,
    }
