"""A local folder as storage."""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from pcakd.errors import AccessError, FatalError, NotFoundError, PcakdError, UsageError
from pcakd.storage.base import ObjectInfo, Storage, shown
from pcakd.storage.etags import content_etag, file_etag, former_etag, is_former
from pcakd.storage.properties import Properties
from pcakd.storage.retry import call_with_retry

T = TypeVar("T")

TEMPORARY = ".pcakd-tmp-"
"""Prefix of the files that a write goes to before it is renamed; never listed."""

# What network file systems answer while a server is away or a file is being replaced.
_PASSING = {errno.EIO, errno.EAGAIN, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT, errno.EINTR}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


class LocalInfo(ObjectInfo):
    """An entry whose ETag is made when it is asked for: most are not, and a hash costs reading the file."""

    __slots__ = ("_make",)

    def __init__(self, key: str, status: os.stat_result, make: Callable[[], str]) -> None:
        values = {"key": key, "size": status.st_size, "mtime": status.st_mtime, "_make": make}
        for name, value in {**values, "version": "", "properties": None}.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of_file(cls, key: str, path: Path, status: os.stat_result) -> "LocalInfo":
        """status: of the file as it is listed."""
        return cls(key, status, partial(file_etag, path, status))

    @classmethod
    def of_content(cls, key: str, path: Path, status: os.stat_result, data: bytes) -> "LocalInfo":
        """data: the content that was read."""
        return cls(key, status, partial(content_etag, path, status, data))

    def __getattr__(self, name: str) -> Any:
        # Only asked for what is not set: the ETag, the first time.
        if name != "etag":
            raise AttributeError(name)
        etag = self._make()
        object.__setattr__(self, "etag", etag)
        object.__setattr__(self, "_make", None)  # which may hold the content
        return etag

    def __reduce__(self) -> Any:
        return partial(ObjectInfo, key=self.key, size=self.size, etag=self.etag, mtime=self.mtime), ()


class LocalStorage(Storage):
    """Files under a folder. Keys are relative POSIX paths; symbolic links are followed."""

    def __init__(self, root: str | os.PathLike) -> None:
        self.root = Path(os.path.abspath(os.path.expanduser(root)))

    def __repr__(self) -> str:
        return f"LocalStorage({str(self.root)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LocalStorage) and other.root == self.root

    def __hash__(self) -> int:
        return hash(self.root)

    def uri(self, key: str = "") -> str:
        return str(self._path(key)) if key else str(self.root)

    def sub(self, prefix: str) -> "LocalStorage":
        return LocalStorage(self._path(prefix.rstrip("/")))

    def check(self) -> None:
        try:
            os.scandir(self.root).close()
        except FileNotFoundError:
            raise NotFoundError(f"{self.root}: no such folder") from None
        except NotADirectoryError:
            raise NotFoundError(f"{self.root}: is a file, not a folder") from None
        except PermissionError:
            raise AccessError(f"{self.root}: no permission to read this folder") from None

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        folder = prefix.rpartition("/")[0]
        start = self._path(folder) if folder else self.root
        yield from self._walk(start, f"{folder}/" if folder else "", prefix, ())

    def _walk(self, path: Path, base: str, prefix: str, above: tuple) -> Iterator[ObjectInfo]:
        try:
            with os.scandir(path) as entries:
                # Folders sort as "name/", so that the walk yields whole keys in order, as S3 lists them.
                names = sorted(
                    entry.name + ("/" if entry.is_dir() else "")
                    for entry in entries
                    if not entry.name.startswith(TEMPORARY)
                )
            identity = (status := os.stat(path)).st_dev, status.st_ino
        except (FileNotFoundError, NotADirectoryError):
            return
        except PermissionError:
            raise AccessError(f"{path}: no permission to read this folder") from None
        if identity in above:
            return  # a symbolic link back to a folder above: its files are listed already
        for name in names:
            key = base + name
            if name.endswith("/"):
                if key.startswith(prefix) or prefix.startswith(key):
                    yield from self._walk(path / name, key, prefix, (*above, identity))
            elif key.startswith(prefix) and (info := _info(key, path / name)):
                yield info

    def folders(self, prefix: str = "") -> tuple[str, ...]:
        path = self._path(prefix.rstrip("/")) if prefix else self.root
        try:
            with os.scandir(path) as entries:
                return tuple(sorted(entry.name for entry in entries if entry.is_dir()))
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except PermissionError:
            raise AccessError(f"{path}: no permission to read this folder") from None

    def head(self, key: str) -> ObjectInfo | None:
        path = self._path(key)
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError:
            raise AccessError(f"{path}: no permission to read") from None
        return LocalInfo.of_file(key, path, status) if stat.S_ISREG(status.st_mode) else None

    def unchanged(self, now: ObjectInfo, size: int, etag: str) -> bool:
        if not is_former(etag):
            return super().unchanged(now, size, etag)
        try:
            return former_etag(os.stat(self._path(now.key))) == etag
        except OSError:
            return False

    def read_with_info(self, key: str) -> tuple[bytes, ObjectInfo]:
        path = self._path(key)

        def read() -> tuple[bytes, ObjectInfo]:
            # O_NONBLOCK: opening a named pipe must not wait for a writer.
            with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise NotFoundError(f"{shown(str(path))}: is not a regular file")
                return (data := file.read()), LocalInfo.of_content(key, path, status, data)

        return self._call(read, "read", path)

    def read_range(self, key: str, start: int, length: int) -> bytes:
        path = self._path(key)

        def read() -> bytes:
            with open(path, "rb") as file:
                file.seek(start)
                return file.read(length)

        return self._call(read, "read", path)

    def write(self, key: str, data: bytes | memoryview, properties: Properties | None = None) -> None:
        path = self._path(key)

        def write() -> None:
            with _published(path) as file:
                file.write(data)

        self._call(write, "write", path)

    @contextmanager
    def writer(self, key: str, properties: Properties | None = None) -> Iterator[IO[bytes]]:
        path = self._path(key)
        try:
            with _published(path) as file:
                yield file
        except OSError as error:
            raise _translated(error, "write", path) from None

    def create(self, key: str, data: bytes, properties: Properties | None = None) -> bool:
        path = self._path(key)

        def create() -> bool:
            try:
                with _published(path, publish=os.link) as file:
                    file.write(data)
            except FileExistsError:
                return path.read_bytes() == data
            return True

        return self._call(create, "create", path)

    def delete(self, key: str) -> None:
        path = self._path(key)
        self._call(lambda: path.unlink(missing_ok=True), "delete", path)

    def clear(self) -> None:
        self._call(lambda: shutil.rmtree(self.root) if self.root.exists() else None, "delete", self.root)

    def sweep(self) -> int:
        removed = 0
        for folder, _, names in os.walk(self.root):
            for name in names:
                if name.startswith(TEMPORARY):
                    with suppress(FileNotFoundError):
                        os.unlink(os.path.join(folder, name))
                        removed += 1
        return removed

    def _path(self, key: str) -> Path:
        """The file of a key. Raises UsageError for a key that would leave the root."""
        if not key or "\0" in key or any(part in ("", ".", "..") for part in key.split("/")):
            raise UsageError(f"{key!r}: is not a file name under {self.root}")
        return self.root / key

    def _call(self, call: Callable[[], T], verb: str, path: Path) -> T:
        def translated() -> T:
            try:
                return call()
            except OSError as error:
                if _may_pass(error):
                    raise
                raise _translated(error, verb, path) from None

        return call_with_retry(translated, what=f"{verb} {shown(str(path))}", passing=_may_pass, describe=_describe)


def _may_pass(error: Exception) -> bool:
    return isinstance(error, OSError) and (error.errno in _PASSING or isinstance(error, _TemporaryGoneError))


def _describe(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _translated(error: OSError, verb: str, path: Path) -> PcakdError:
    where = shown(str(path))
    if isinstance(error, FileNotFoundError | IsADirectoryError) and verb == "read":
        return NotFoundError(f"{where}: no such file")
    if isinstance(error, NotADirectoryError | FileExistsError | IsADirectoryError):
        return UsageError(f"{where}: cannot {verb}, a file or folder of that name is in the way")
    if isinstance(error, PermissionError):
        return AccessError(f"{where}: no permission to {verb}")
    if error.errno in _FULL:
        return FatalError(f"{where}: cannot {verb} ({error.strerror}); free some space or choose another place")
    if error.errno == errno.ENAMETOOLONG:
        return UsageError(f"{where}: cannot {verb}, the name is too long for this file system")
    return FatalError(f"{where}: cannot {verb} ({error.strerror or error})")


class _TemporaryGoneError(OSError):
    """Somebody swept the folder during a write."""


@contextmanager
def _published(path: Path, publish: Callable = os.replace) -> Iterator[IO[bytes]]:
    """A temporary file beside `path` that takes its name when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{TEMPORARY}{secrets.token_hex(8)}"
    try:
        # Not tempfile: its 0600 would stick to the published file, whatever the umask.
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        try:
            publish(temporary, path)
        except FileNotFoundError:
            raise _TemporaryGoneError(errno.ESTALE, "its temporary file was removed", str(temporary)) from None
    finally:
        temporary.unlink(missing_ok=True)


def _info(key: str, path: Path) -> ObjectInfo | None:
    """A listing entry; None for pipes, sockets and devices. A dangling link is listed: reading it tells."""
    try:
        status = os.stat(path)
    except OSError:
        return ObjectInfo(key=key, size=0, etag="", mtime=0.0)
    return LocalInfo.of_file(key, path, status) if stat.S_ISREG(status.st_mode) else None
