"""What Ray's workers do with a clip: find its shots, make some of its segments, join them into its result.

Each reads of the object what it needs, in ranges. A result is put together in a temporary folder of the worker.
"""

import hashlib
import io
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

from pcakd.bulk.properties import result_properties
from pcakd.errors import NotFoundError, TransientError
from pcakd.photos.outcomes import OK
from pcakd.storage import LocalStorage, ObjectInfo, Storage, shown
from pcakd.storage.base import ObjectReader
from pcakd.storage.keys import key_of
from pcakd.storage.s3 import SINGLE_PUT_BYTES
from pcakd.stylize.clips.course import CoursePlan
from pcakd.stylize.clips.run import encoded, plan_clip
from pcakd.stylize.look.look import Look
from pcakd.stylize.style import Style
from pcakd.stylize.stylizer import Stylizer
from pcakd.video.clip import Clip, open_clip
from pcakd.video.codecs import Writing, choose_writing
from pcakd.video.mux import write_clip
from pcakd.video.segments import EncodedPacket
from tasks.bulk.carried import Row
from tasks.bulk.workers import ThereError, Work, failures, here, new_row, options_of, timed

READ_BYTES = 8 << 20
"""Of an object that are fetched at a time."""


class _Ranges(ObjectReader):
    """An object for FFmpeg, which goes on reading after an error: the first is raised, then the object ends."""

    def __init__(self, storage: Storage, key: str) -> None:
        super().__init__(storage, key)
        self.name, self._failed = key, False  # by its name formats without a head are told

    def readinto(self, buffer: Any) -> int:
        if self._failed:
            return 0
        try:
            return super().readinto(buffer)
        except BaseException:
            self._failed = True
            raise


@dataclass(frozen=True)
class StoredClip:
    """A clip in a storage, read in ranges."""

    storage: Storage
    key: str

    def open(self) -> IO[bytes]:
        return io.BufferedReader(_Ranges(self.storage, self.key), READ_BYTES)

    def __str__(self) -> str:
        return shown(self.key)


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A clip whose shots are known: each of its segments can be made anywhere, in any order.

    item: the snapshot's columns; row: its row so far; info: of the object as it was read.
    """

    item: dict[str, Any]
    row: Row
    info: ObjectInfo
    clip: Clip
    plan: CoursePlan
    writing: Writing

    @property
    def segments(self) -> int:
        return len(self.plan.marks)


def begin(
    work: Work,
    item: dict[str, Any],
    stylizer: Stylizer,
    styles: Mapping[str, Style],
    looks: Mapping[str, Look],
) -> Begun | Row:
    """The first pass over a clip; its row where that fails. looks: of styles in which all of a job have one look."""
    row = new_row(work, item) | {"worker": here()}
    with failures(row):
        key = key_of(item["key"])
        info = _head(work, key)
        row |= {"etag": info.etag, "size": info.size, "version": info.version or None}
        if work.pace is not None:
            work.pace.before_read(info.size)
        options, look = options_of(work, item), looks.get(item["style"])
        with timed(row, "stylize_s"):
            clip = open_clip(_place(work.source, key))
            writing = choose_writing(clip, Path(item["output"]), work.video)
            shared = None if look is None else look.at(options.strength)
            plan = plan_clip(stylizer, clip, styles[item["style"]], options, work.video, look=shared)
        row |= {"width": clip.width, "height": clip.height}
        return Begun(item=item, row=row, info=info, clip=clip, plan=plan, writing=writing)
    return _finished(row)


def make(begun: Begun, segments: range) -> tuple[Row | None, list[EncodedPacket]]:
    """(the clip's row where that fails, the packets of some of its segments)."""
    row = {**begun.row, "worker": here()}
    with failures(row):
        return None, list(encoded(begun.clip, begun.plan, begun.writing, segments))
    return _finished(row), []


def join(work: Work, begun: Begun, parts: Iterable[list[EncodedPacket]]) -> Row:
    """Segments, in order, and what lies beside the pictures → the object at the destination → the clip's row."""
    row, output = {**begun.row, "worker": here()}, begun.item["output"]
    with failures(row), tempfile.TemporaryDirectory(prefix="pcakd-clip-", ignore_cleanup_errors=True) as folder:
        result = Path(folder) / f"result{PurePosixPath(output).suffix.lower()}"
        notes = write_clip(begun.clip, result, begun.writing, _flat(parts), name=shown(output))
        if _head(work, key_of(begun.item["key"])).etag != begun.info.etag:
            raise TransientError(f"{begun.clip.path}: has changed while it was read")
        _put(work, begun, result, row)
        if row["status"] == OK:
            told = [row.get("message") or "", *begun.clip.notes, *begun.writing.notes, *notes]
            row["message"] = "; ".join(filter(None, told)) or None
    return _finished(row)


def whole(work: Work, begun: Begun) -> Row:
    """All of it by one worker: the row."""
    failed: list[Row] = []

    def parts() -> Iterator[list[EncodedPacket]]:
        for segment in range(begun.segments):
            bad, packets = make(begun, range(segment, segment + 1))
            if bad is not None:
                failed.append(bad)
                raise _SegmentError
            yield packets

    with timed(begun.row, "encode_s"):
        row = join(work, begun, parts())
    return failed[0] if failed else row


class _SegmentError(Exception):
    """A segment could not be made; its row says why."""


def _put(work: Work, begun: Begun, result: Path, row: Row) -> None:
    item, size = begun.item, result.stat().st_size
    with failures(row, writing=True):
        if work.pace is not None:
            work.pace.before_write(size)
        same = PurePosixPath(item["output"]).suffix.lower() == PurePosixPath(item["key"]).suffix.lower()
        tags = work.source.tags(key_of(item["key"])) if work.properties.keep_properties == "all" else {}
        properties, notes = result_properties(work.properties, begun.info.properties, tags, same_format=same)
        with timed(row, "put_s"):
            if not _written(work, item["output"], result, size, properties):
                raise ThereError(f"{shown(work.dest.uri(item['output']))}: is there already, with other content")
        with result.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        row |= {"status": OK, "sha256": digest, "output_size": size}
        if notes and not isinstance(work.dest, LocalStorage):
            row["message"] = "; ".join(notes)


def _written(work: Work, output: str, result: Path, size: int, properties: Any) -> bool:
    if work.create_only and size <= SINGLE_PUT_BYTES:
        return work.dest.create(output, result.read_bytes(), properties)
    # No storage takes many GB under a condition: what stands there is looked for instead.
    if work.create_only and (there := work.dest.head(output)) is not None:
        return there.size == size and work.dest.read_range(output, 0, size) == result.read_bytes()
    with result.open("rb") as file, work.dest.writer(output, properties) as out:
        shutil.copyfileobj(file, out, READ_BYTES)
    return True


def _place(source: Storage, key: str) -> Path | StoredClip:
    return Path(source.uri(key)) if isinstance(source, LocalStorage) else StoredClip(source, key)


def _head(work: Work, key: str) -> ObjectInfo:
    info = work.source.head(key)
    if info is None:
        raise NotFoundError(f"{shown(work.source.uri(key))}: no such object")
    return info


def _flat(parts: Iterable[list[EncodedPacket]]) -> Iterator[EncodedPacket]:
    for packets in parts:
        yield from packets


def _finished(row: Row) -> Row:
    row["finished"] = datetime.now(UTC)
    return row
