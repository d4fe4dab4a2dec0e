"""What every storage can do, whether a local folder or an S3 prefix."""

import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import IO

from pcakd.errors import NotFoundError, UsageError
from pcakd.storage.properties import Properties


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectInfo:
    """One object as the storage lists it.

    key:   relative to the storage's root, parts separated by "/".
    size:  bytes.
    etag:  changes when the content does; without quotes. Of a local file it is a hash, made when it is asked for.
    mtime: seconds since 1970, UTC.
    version, properties: what a single look at the object tells beside, a listing does not: its version's id in a
           bucket that keeps versions, else "" (an inventory tells it, too); what it has beside its content, None of a
           local file.
    """

    key: str
    size: int
    etag: str
    mtime: float
    version: str = field(default="", compare=False)
    properties: Properties | None = field(default=None, compare=False)


class Storage(ABC):
    """Objects under one root; cheap to pickle (no connection, no credentials travel with it).

    Every method raises, from pcakd.errors: NotFoundError (no such object, bucket or folder),
    AccessError (credentials refused, no permission), TransientError (gave up after retries),
    FatalError (disk full and the like).
    """

    @abstractmethod
    def uri(self, key: str = "") -> str:
        """Where an object is, for people and manifests: "s3://bucket/prefix/key" or an absolute path."""

    @abstractmethod
    def sub(self, prefix: str) -> "Storage":
        """The storage whose root is the folder `prefix` of this one."""

    @abstractmethod
    def check(self) -> None:
        """Raise NotFoundError or AccessError at once when the root's bucket or folder cannot be used."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object whose key starts with `prefix`, in the order of the keys' code points.

        Pages are fetched as they are consumed: memory does not grow with the number of objects.
        A local folder that does not exist is empty, as an S3 prefix is; call `check` to tell.
        """

    @abstractmethod
    def folders(self, prefix: str = "") -> tuple[str, ...]:
        """Names of the folders directly under `prefix`, which is "" or ends in "/", in order."""

    @abstractmethod
    def head(self, key: str) -> ObjectInfo | None:
        """The object's listing entry, None when there is no such object."""

    @abstractmethod
    def read_with_info(self, key: str) -> tuple[bytes, ObjectInfo]:
        """The whole content, with the entry that belongs to these very bytes."""

    @abstractmethod
    def read_range(self, key: str, start: int, length: int) -> bytes:
        """`length` bytes from offset `start`; fewer at the object's end."""

    @abstractmethod
    def write(self, key: str, data: bytes | memoryview, properties: Properties | None = None) -> None:
        """Create or replace the object; it is seen whole or not at all. properties: where the storage has them."""

    @abstractmethod
    def writer(self, key: str, properties: Properties | None = None) -> AbstractContextManager[IO[bytes]]:
        """A file to write into; the object appears, whole, when the block ends without an exception."""

    @abstractmethod
    def create(self, key: str, data: bytes, properties: Properties | None = None) -> bool:
        """Write only where no object is. True when the object now holds `data` (written by this call,
        or the very same content was there), False when other content is there; that stays untouched."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove the object; it may be gone already."""

    @abstractmethod
    def clear(self) -> None:
        """Remove every object under this root."""

    @abstractmethod
    def sweep(self) -> int:
        """Remove what interrupted writes left under this root (temporary files, unfinished uploads); how many.

        Only for a root that nobody else writes to at the moment.
        """

    def read(self, key: str) -> bytes:
        """The whole content."""
        return self.read_with_info(key)[0]

    def encrypted(self, encryption: str) -> "Storage":
        """The same place, where all that is written is encrypted so; see `Properties`. Raises UsageError."""
        raise UsageError(f"{self}: a folder encrypts nothing")

    def tags(self, key: str) -> dict[str, str]:
        """The object's tags; a local file has none."""
        return {}

    def exists(self, key: str) -> bool:
        return self.head(key) is not None

    def unchanged(self, now: ObjectInfo, size: int, etag: str) -> bool:
        """Whether an object as it is listed now is the one that was listed with this size and ETag."""
        return (now.size, now.etag) == (size, etag)

    def open(self, key: str) -> "ObjectReader":
        """A seekable file that fetches only the ranges that are read. Raises NotFoundError."""
        return ObjectReader(self, key)

    def __str__(self) -> str:
        return self.uri()


class ObjectReader(io.RawIOBase):
    """A read-only, seekable file over `Storage.read_range`."""

    def __init__(self, storage: Storage, key: str) -> None:
        info = storage.head(key)
        if info is None:
            raise NotFoundError(f"{storage.uri(key)}: no such object")
        self._storage, self._key, self._size, self._position = storage, key, info.size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def size(self) -> int:
        return self._size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = origin + offset
        return self._position

    def readinto(self, buffer) -> int:
        view = memoryview(buffer).cast("B")
        length = min(len(view), max(0, self._size - self._position))
        if length == 0:
            return 0
        data = self._storage.read_range(self._key, self._position, length)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


def shown(text: str) -> str:
    """A key or path on one line, whatever is in it: control characters and stray bytes become escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def sha256_hex(data: bytes | memoryview) -> str:
    """Content hash of an object, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
