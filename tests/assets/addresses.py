"""The files with a public address, as `addresses.txt` writes them down."""

import urllib.parse
from dataclasses import dataclass
from pathlib import Path

ADDRESSES = Path(__file__).with_name("addresses.txt")


@dataclass(frozen=True, kw_only=True)
class Public:
    """A file with a public address. path: in the folder; size: bytes, None where it is not known; sha256: as many of
    its first digits as are known."""

    path: str
    url: str
    size: int | None
    sha256: str


def addresses(text: str | None = None) -> list[Public]:
    """The files of `ADDRESSES`."""
    found, place = [], ""
    for line in (ADDRESSES.read_text() if text is None else text).splitlines():
        if line.startswith(("http://", "https://")):
            place = line.strip()
        elif line and not line.startswith("#"):
            path, size, sha256, where = line.split(maxsplit=3)
            url = place + urllib.parse.quote(where)
            found.append(Public(path=path, url=url, size=None if size == "-" else int(size), sha256=sha256))
    return found
