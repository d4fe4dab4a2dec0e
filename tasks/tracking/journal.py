"""The journal of one run and the runs nested in it: JSON lines and files in a folder on the local disk.

    <folder>/journal.jsonl     events, appended and flushed at once
    <folder>/files/            what `file` events name
    <folder>/sent.json         how far the sender is, and the MLflow run of each run here
    <folder>/lock              held by the process that writes; free when it has died

A line that a crash cut short is ignored: it was never acknowledged to anybody.
"""

import fcntl
import json
import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pcakd.files import write_atomic

LINES, SENT, LOCK, FILES = "journal.jsonl", "sent.json", "lock", "files"


class Journal:
    """Written by one process, any number of threads."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self._lock_file = lock
        self._lines = (folder / LINES).open("ab")
        self._writing = threading.Lock()

    @classmethod
    def create(cls, parent: Path, header: dict[str, Any]) -> "Journal":
        """A new journal below `parent`; its first line is the header."""
        folder = parent / secrets.token_hex(8)
        (folder / FILES).mkdir(parents=True)
        lock = _try_lock(folder)
        assert lock is not None
        journal = cls(folder, lock)
        journal.append({"op": "header", **header})
        return journal

    @classmethod
    def adopt(cls, folder: Path) -> "Journal | None":
        """A journal whose writer is gone; None while somebody holds it, or where there is no journal."""
        if not (folder / LINES).is_file():
            return None
        lock = _try_lock(folder)
        return None if lock is None else cls(folder, lock)

    def append(self, event: dict[str, Any]) -> None:
        """Add one event."""
        data = json.dumps(event, separators=(",", ":")).encode() + b"\n"
        with self._writing:
            self._lines.write(data)
            self._lines.flush()

    def add_file(self, data: bytes) -> str:
        """Keep a file's content; its name for an event."""
        name = secrets.token_hex(8)
        write_atomic(self.folder / FILES / name, data)
        return name

    def file(self, name: str) -> Path:
        return self.folder / FILES / name

    def close(self) -> None:
        """Let go of it; what is not sent yet stays on the disk."""
        self._lines.close()
        os.close(self._lock_file)

    def remove(self) -> None:
        """Delete it and let go of it: all is sent."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.close()


@dataclass(kw_only=True)
class Sent:
    """How far a journal is sent."""

    offset: int = 0
    """Bytes of the journal."""
    runs: dict[str, str] = field(default_factory=dict)
    """Run here → MLflow run."""
    uri: str = ""
    """Where to; empty in records of before: the journal's own address."""

    @classmethod
    def load(cls, folder: Path) -> "Sent":
        try:
            record = json.loads((folder / SENT).read_text())
            return cls(offset=record["offset"], runs=record["runs"], uri=record.get("uri", ""))
        except (OSError, ValueError, KeyError):
            return cls()

    def save(self, folder: Path) -> None:
        write_atomic(folder / SENT, json.dumps({"offset": self.offset, "runs": self.runs, "uri": self.uri}).encode())


def read_events(folder: Path, offset: int = 0) -> Iterator[tuple[dict[str, Any], int]]:
    """(event, offset behind it) from `offset` on, whole lines only."""
    with (folder / LINES).open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            try:
                event = json.loads(line)
            except ValueError:  # the end of a line that a crash cut, then a newline of its successor
                continue
            yield event, offset


def _try_lock(folder: Path) -> int | None:
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
