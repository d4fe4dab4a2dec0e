"""What Ray's workers do with a block of items: fetch and decode, stylize, encode and put.

Whatever goes wrong with one item becomes its row; only what concerns the whole job asks to stop it.
"""

import os
import pickle
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from pcakd.bulk.naming import format_of
from pcakd.bulk.properties import ResultProperties, result_properties
from pcakd.errors import PcakdError
from pcakd.photos.images import Photo, check_pixels, max_pixels_default, peek, read_photo
from pcakd.photos.leftovers import is_left_out
from pcakd.photos.outcomes import EXISTS, LEFT_OUT, MAY_PASS, OK, check_bytes, ends_the_job, status_of
from pcakd.photos.shrink import to_longest_side
from pcakd.photos.write import check_writable, encode
from pcakd.storage import LocalStorage, Storage, sha256_hex, shown
from pcakd.storage.keys import key_of
from pcakd.storage.properties import Properties
from pcakd.stylize.options import StylizeOptions
from pcakd.video.options import VideoOptions
from tasks.bulk.carried import (
    BlockBuilder,
    Carried,
    Head,
    Row,
    pack_rows,
    photo_of,
    unpack,
    with_photo,
)
from tasks.bulk.pace import Paced

LARGE_PIXELS = 4 << 20
"""Photos of more pixels stay encoded between the workers: blocks that are large for Ray's object store make its
backpressure starve a stylizer."""

THREADS = 16
"""Requests at a time to an S3 server: it answers slowly, but many at once."""

STOP = "stop"
"""A row with this status tells of no item: it asks the driver to end the job, because of the error in it."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What all items of a job have in common; travels to every worker.

    run:    goes into every row.
    model:  its name with every alias resolved, for the rows.
    create_only: leave an output alone that is there with other content.
    pace: the rate that all workers keep together; None: none.
    properties: what results have beside their content.
    video: of clips, where the job takes them.
    """

    source: Storage
    dest: Storage
    run: str
    model: str
    transform: str
    strength: float
    smoothing: str
    compat: str
    render: str = "auto"
    quality: int
    balance: float = 1.0
    max_side: int | None = None
    depth: str = "same"
    colour: str = "srgb"
    create_only: bool = False
    pace: Paced | None = None
    properties: ResultProperties = field(default_factory=ResultProperties)
    video: VideoOptions = field(default_factory=VideoOptions)
    max_pixels: int = field(default_factory=max_pixels_default)


def fetch(table: pa.Table, work: Work) -> Iterator[pa.Table]:
    """Items → their photos, decoded. Neighbours of the same key are fetched and decoded once."""
    items = table.to_pylist()
    sizes = {item["key"]: item["size"] for item in items}
    block = BlockBuilder()
    with ThreadPoolExecutor(_threads(work.source)) as threads:
        reading = {key: threads.submit(_read, work, key, size) for key, size in sizes.items()}
        last: Carried | None = None
        for item in items:
            if last is None or last[0].item["key"] != item["key"]:
                head = Head(item=item, row=new_row(work, item))
                last = _decoded(work, head, reading.pop(item["key"]).result())
                spent: Row = {}
            else:
                spent = {
                    "fetch_s": 0.0,
                    "decode_s": 0.0,
                }  # the row before has them, so that they count once
            head, body = last
            own = {"style": item["style"], "output": item["output"], **spent}
            head = replace(head, item=item, row={**head.row, **own})
            if block.add((head, body)):
                yield block.take()
    yield from block.rest()


def ready(threads: int) -> None:
    """Have this process stylize with so many threads."""
    import torch

    from pcakd.stylize.engine.memory import keep_freed_memory
    from pcakd.stylize.look.slicing import load_kernel

    keep_freed_memory()
    load_kernel()
    torch.set_num_threads(threads)


def models(shared: bytes, settings: dict[str, Any]) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """(stylizer, styles, shared looks), as `Stylize` is told of them."""
    import ray

    from pcakd.stylize.stylizer import Stylizer

    checkpoint, styles, looks = ray.get(pickle.loads(shared))
    return Stylizer(checkpoint, **settings), styles, looks


class Stylize:
    """An actor: has the model and the styles, once.

    shared: pickled reference of (checkpoint, style name → `Style`, style name → the `Look` that all photos share, where
    they share one). settings: of `Stylizer`: device, precision, memory_limit.
    """

    def __init__(self, work: Work, shared: bytes, threads: int, settings: dict[str, Any]) -> None:
        ready(threads)
        self.work = work
        self.stylizer, self.styles, self.looks = models(shared, settings)

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        block = BlockBuilder()
        for head, body in unpack(table):
            if block.add((head, body) if head.finished else self._one(head, body)):
                yield block.take()
        yield from block.rest()

    def _one(self, head: Head, body: bytes | memoryview) -> Carried:
        work, item = self.work, head.item
        head.row["worker"] = here()
        with failures(head.row):
            large = head.kind == "photo"
            if large:
                with timed(head.row, "decode_s"):
                    photo = _photo(work, head, bytes(body))
            else:
                photo = photo_of(head, body)
            options = options_of(work, item)
            with timed(head.row, "stylize_s"):
                if look := self.looks.get(item["style"]):
                    result = self.stylizer.apply(look.at(options.strength), photo, overwrite=True)
                else:
                    result = self.stylizer.render(photo, self.styles[item["style"]], options, overwrite=True)
            head.row |= {"width": result.size[1], "height": result.size[0]}
            return _encoded(work, head, result) if large else with_photo(head, result)
        return head, b""


def store(table: pa.Table, work: Work) -> pa.Table:
    """Results → rows, once each result is whole at its place."""
    with ThreadPoolExecutor(_threads(work.dest)) as threads:
        waiting = []
        for head, body in unpack(table):
            if not head.finished and head.kind == "pixels":
                with failures(head.row):
                    head, body = _encoded(work, head, photo_of(head, body))
            waiting.append(threads.submit(_put, work, head, bytes(body)))
        return pack_rows([future.result() for future in waiting])


def _threads(storage: Storage) -> int:
    return 2 if isinstance(storage, LocalStorage) else THREADS


def here() -> str:
    """The process, as rows name it."""
    return f"{socket.gethostname()}:{os.getpid()}"


def new_row(work: Work, item: dict[str, Any]) -> Row:
    """An item's row as it begins."""
    row = {name: item.get(name) for name in ("part", "key", "etag", "size", "style", "output", "version")}
    return {**row, "status": "", "passing": False, "run": work.run, "model": work.model}


def options_of(work: Work, item: dict[str, Any]) -> StylizeOptions:
    """How an item is stylized: as its row of the manifest says, else as the job."""
    strength, transform = item["strength"], item["transform"] or work.transform
    return StylizeOptions(
        transform=transform,  # type: ignore[arg-type]
        balance=work.balance if transform == "lsft" else 1.0,
        strength=work.strength if strength is None else strength,
        smoothing=item["smoothing"] or work.smoothing,  # type: ignore[arg-type]
        compat=work.compat,  # type: ignore[arg-type]
        render=work.render,  # type: ignore[arg-type]
    )


@dataclass(kw_only=True)
class _Fetched:
    """An object as it was read. row: what that adds to its items' rows; it has a status where it was not."""

    row: Row
    data: bytes = b""
    properties: Properties | None = None
    tags: dict[str, str] = field(default_factory=dict)


def _read(work: Work, key: str, size: int) -> _Fetched:
    if is_left_out(key_of(key)):
        return _Fetched(row={"status": LEFT_OUT, "message": "no photo, by its name"})
    fetched = _Fetched(row={"status": ""})
    with failures(fetched.row):
        check_bytes(size, shown(key))
        if work.pace is not None:
            work.pace.before_read(size)
        with timed(fetched.row, "fetch_s"):
            fetched.data, info = work.source.read_with_info(key_of(key))
            fetched.row |= {"etag": info.etag, "size": info.size, "version": info.version or None}
            fetched.properties = info.properties
            if work.properties.keep_properties == "all":
                fetched.tags = work.source.tags(key_of(key))
    return fetched


def _decoded(work: Work, head: Head, fetched: _Fetched) -> Carried:
    row, key, data = head.row, head.item["key"], fetched.data
    row |= {"worker": here(), **fetched.row}
    head.properties, head.tags = fetched.properties, fetched.tags
    if head.finished:
        return head, b""
    with failures(row):
        found = peek(data, shown(key))
        height, width = found.size
        head.content = found.format
        row |= {"width": width, "height": height}
        check_pixels(width, height, shown(key), work.max_pixels)
        if width * height > LARGE_PIXELS or not found.plain or work.depth == "16" or work.colour == "source":
            head.kind = "photo"
            return head, data
        with timed(row, "decode_s"):
            photo = _photo(work, head, data)
        if photo.plain:
            return with_photo(head, photo)
        head.kind = "photo"
        return head, data
    return head, b""


def _photo(work: Work, head: Head, data: bytes) -> Photo:
    """The photo as it is stylized. What its output cannot hold is told before that is computed."""
    name = shown(head.item["key"])
    photo = read_photo(data, name=name, max_pixels=work.max_pixels, depth=work.depth, gamut=work.colour)  # type: ignore[arg-type]
    photo = to_longest_side(photo, work.max_side)
    check_writable(photo, _format(head), name)
    return photo


def _format(head: Head) -> str:
    return format_of(head.item["output"], head.content)


def _encoded(work: Work, head: Head, photo: Photo) -> Carried:
    with timed(head.row, "encode_s"):
        encoded = encode(photo, _format(head), quality=work.quality, name=shown(head.item["key"]))
    if encoded.notes:
        head.row["message"] = "; ".join(encoded.notes)
    head.kind = "result"
    return head, encoded.data


def _put(work: Work, head: Head, data: bytes) -> Row:
    row = head.row
    if not head.finished:
        with failures(row, writing=True):
            if work.pace is not None:
                work.pace.before_write(len(data))
            with timed(row, "put_s"):
                key = head.item["output"]
                properties, notes = result_properties(
                    work.properties, head.properties, head.tags, same_format=_format(head) == head.content
                )
                if work.create_only and not work.dest.create(key, data, properties):
                    raise ThereError(f"{shown(work.dest.uri(key))}: is there already, with other content")
                if not work.create_only:
                    work.dest.write(key, data, properties)
            row |= {"status": OK, "sha256": sha256_hex(data), "output_size": len(data)}
            if notes and not isinstance(work.dest, LocalStorage):
                row["message"] = "; ".join(filter(None, [row.get("message"), *notes]))
    row["finished"] = datetime.now(UTC)
    return row


class ThereError(Exception):
    """Something else stands where a result belongs."""


@contextmanager
def timed(row: Row, name: str) -> Iterator[None]:
    """Write down in a row what the block took, in seconds."""
    started = time.perf_counter()
    try:
        yield
    finally:
        row[name] = time.perf_counter() - started


@contextmanager
def failures(row: Row, *, writing: bool = False) -> Iterator[None]:
    """Turn what happens to one item into its status."""
    try:
        yield
    except Exception as error:
        status = EXISTS if isinstance(error, ThereError) else status_of(error)
        if ends_the_job(error, writing=writing):
            status = STOP
        row |= {"status": status, "passing": status in MAY_PASS, "error": type(error).__name__, "message": _line(error)}


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, PcakdError | ThereError) else f"{type(error).__name__}: {text}"[:500]
