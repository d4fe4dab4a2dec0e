"""ETags of local files: the hash of their content, remembered for as long as the file looks untouched.

A file is hashed when its size, times or inode are not those that its hash was remembered with, so that `touch`, rsync
or a restore change nothing but the time of the next listing. What is remembered may be lost at any moment: it lies in
one SQLite file under PCAKD_CACHE, and where that cannot be used, files are hashed each time.
"""

import atexit
import hashlib
import os
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path

from pcakd.environment import cache_folder

NAME = "etags.sqlite"
LARGEST = 1 << 30
"""Bytes of the SQLite file after which it is begun anew: files that are gone are never looked for."""
SETTLED_S = 2.0
"""A file changed so short a while ago may change once more within the same tick of its file system's clock."""
_PENDING = 512

Identity = tuple[int, int, int, int, int]


def identity(status: os.stat_result) -> Identity:
    """What a file's content is taken to be unchanged by. The change time too: tools that set back the other one."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev


def former_etag(status: os.stat_result) -> str:
    """What a local file's ETag was before it was a hash: tables written then still hold it."""
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def is_former(etag: str) -> bool:
    """Whether an ETag is of that form."""
    return "-" in etag


def file_etag(path: Path, status: os.stat_result) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits. status: as it was listed.

    One that cannot be read has the former kind of ETag: whoever reads it next will be told why.
    """
    path_bytes = os.fsencode(path)
    if (known := _cache().get(path_bytes, identity(status))) is not None:
        return known
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            before = os.fstat(file.fileno())
            etag = hashlib.file_digest(file, "sha256").hexdigest()
            after = os.fstat(file.fileno())
    except OSError:
        return former_etag(status)
    if identity(before) == identity(after):
        _cache().put(path_bytes, after, etag)
    return etag


def content_etag(path: Path, status: os.stat_result, data: bytes) -> str:
    """The same for a file whose content has just been read."""
    path_bytes = os.fsencode(path)
    if (known := _cache().get(path_bytes, identity(status))) is not None:
        return known
    etag = hashlib.sha256(data).hexdigest()
    _cache().put(path_bytes, status, etag)
    return etag


class EtagCache:
    """One SQLite file; every failure of it is a miss. For any number of threads and processes."""

    def __init__(self, place: Path) -> None:
        self.place, self.process = place, os.getpid()
        self._lock = threading.Lock()
        self._pending: dict[bytes, tuple[Identity, str]] = {}
        self._connection: sqlite3.Connection | None = None
        with suppress(OSError, sqlite3.Error):
            self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        self.place.parent.mkdir(parents=True, exist_ok=True)
        if self.place.exists() and self.place.stat().st_size > LARGEST:
            self.place.unlink()
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            self.place.unlink(missing_ok=True)  # damaged
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.place, timeout=2, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS etags (path BLOB PRIMARY KEY, size INTEGER, mtime INTEGER, ctime INTEGER, "
            "inode INTEGER, device INTEGER, etag TEXT) WITHOUT ROWID"
        )
        return connection

    def get(self, path: bytes, wanted: Identity) -> str | None:
        """The ETag of a file that still looks as it did, else None."""
        with self._lock:
            found = self._pending.get(path)
            if found is None and self._connection is not None:
                with suppress(sqlite3.Error, OverflowError):
                    row = self._connection.execute(
                        "SELECT size, mtime, ctime, inode, device, etag FROM etags WHERE path = ?", (path,)
                    ).fetchone()
                    found = row and (row[:5], row[5])
        return found[1] if found and found[0] == wanted else None

    def put(self, path: bytes, status: os.stat_result, etag: str) -> None:
        """Remember a hash, unless the file is so fresh that it may change again unseen."""
        newest = max(status.st_mtime, status.st_ctime)
        if self._connection is None or time.time() - newest < SETTLED_S:
            return
        with self._lock:
            self._pending[path] = identity(status), etag
            if len(self._pending) >= _PENDING:
                self._flush()

    def flush(self) -> None:
        """Write what is remembered in this process only."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        rows = [(path, *seen, etag) for path, (seen, etag) in self._pending.items()]
        self._pending = {}
        if rows and self._connection is not None:
            with suppress(sqlite3.Error, OverflowError):
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany("INSERT OR REPLACE INTO etags VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
                self._connection.execute("COMMIT")


_open_cache: EtagCache | None = None
_opening = threading.Lock()


def _cache() -> EtagCache:
    """This process's cache; a process that was forked off opens its own."""
    global _open_cache
    place = cache_folder() / NAME
    with _opening:
        if _open_cache is None or _open_cache.process != os.getpid() or _open_cache.place != place:
            if _open_cache is not None and _open_cache.process == os.getpid():
                _open_cache.flush()
            _open_cache = EtagCache(place)
        return _open_cache


@atexit.register
def _flush_at_exit() -> None:
    if _open_cache is not None and _open_cache.process == os.getpid():
        _open_cache.flush()
