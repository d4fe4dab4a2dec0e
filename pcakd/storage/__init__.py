"""Local folders and `s3://` prefixes behind one small interface.

    storage = open_storage("s3://bucket/photos")        # or a folder
    for entry in storage.list(): ...                    # key, size, etag, mtime; a page at a time
    data, entry = storage.read_with_info("a.jpg")       # retried whole, checksum verified
    storage.write("b.jpg", data)                        # appears whole or not at all
    won = storage.create("lease.json", data)            # False: somebody else's content is there

A storage can be pickled: Ray workers carry it, and find the credentials in their own environment.
`parquet.py` has tables on top, `stage.py` stage outputs that are finished once their manifest exists.
"""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pcakd.errors import UsageError
from pcakd.storage.base import ObjectInfo, ObjectReader, Storage, sha256_hex, shown
from pcakd.storage.local import LocalStorage

__all__ = [
    "LocalStorage",
    "ObjectInfo",
    "ObjectReader",
    "Storage",
    "check_apart",
    "open_places",
    "open_storage",
    "sha256_hex",
    "shown",
]


def open_storage(uri: str | os.PathLike) -> Storage:
    """The storage at a folder, a `file://` or an `s3://bucket/prefix` address. Touches nothing yet.

    Raises UsageError for any other kind of address.
    """
    if isinstance(uri, Path):
        return LocalStorage(uri)
    text = os.fspath(uri)
    if text.startswith("s3://"):
        from pcakd.storage.s3 import S3Storage, parse_s3_uri  # boto3 takes 0.3 s to import

        return S3Storage(*parse_s3_uri(text))
    scheme, separator, _ = text.partition("://")
    if not separator:
        if not text:
            raise UsageError("an empty address is no storage; give a folder or s3://bucket/prefix")
        return LocalStorage(text)
    if scheme == "file" and urlsplit(text).netloc in ("", "localhost"):
        return LocalStorage(unquote(urlsplit(text).path))
    raise UsageError(f"{scheme}://...: storage is a folder or s3://bucket/prefix")


def open_places(source: str, dest: str, *, listed: bool = True) -> tuple[Storage, Storage]:
    """The storages that a job reads from and writes to. listed: the source is to be listed, which is tried at once.

    Raises UsageError where one lies in the other, NotFoundError and AccessError for a place that cannot be used.
    """
    places = check_apart(source, dest)
    if listed:
        places[0].check()
    if not isinstance(places[1], LocalStorage):
        places[1].check()
    return places


def check_apart(source: str, dest: str) -> tuple[Storage, Storage]:
    """The storages at two places. Raises UsageError where one lies in the other."""
    places = open_storage(source), open_storage(dest)
    outer, inner = (f"{place.uri()}/" for place in places)
    if inner.startswith(outer) or outer.startswith(inner):
        raise UsageError(
            f"{places[1]}: source and destination lie in each other; choose a destination outside {places[0]}"
        )
    return places
