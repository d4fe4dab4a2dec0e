"""`python -m tests.assets.fetch [FOLDER]`: fetch what has a public address; whatever is there already stays.

A file appears under its name whole, with the size and hash that are written down, or not at all; what was interrupted
goes on from where it stopped.
"""

import fcntl
import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path

import click

from pcakd.cli.main import run
from pcakd.errors import FatalError, TransientError
from pcakd.units import shown_bytes
from tests.assets.addresses import Public, addresses
from tests.assets.places import fetched_folder

TIMEOUT_S = 10.0
TRIES = 3
CHUNK = 1 << 16


def fetch(folder: Path, wanted: Iterable[Public]) -> list[Public]:
    """Fetch what a folder lacks; these. One process at a time. Raises TransientError where an address does not answer,
    FatalError where it has another file."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [public for public in wanted if not (folder / public.path).is_file()]
        for public in missing:
            _fetch(public, folder / public.path)
        return missing


def _fetch(public: Public, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.part")
    for left in range(TRIES - 1, -1, -1):
        try:
            _download(public.url, partial)
            break
        except (OSError, http.client.HTTPException) as error:
            if not left or (isinstance(error, urllib.error.HTTPError) and error.code < 500):
                raise TransientError(f"{public.url}: cannot be fetched ({_words(error)}); try again") from None
            time.sleep(TRIES - left - 1)
    data = partial.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if len(data) != (len(data) if public.size is None else public.size) or not digest.startswith(public.sha256):
        partial.unlink()
        raise FatalError(
            f"{public.url}: is another file than the one that is written down ({len(data)} bytes, SHA-256 "
            f"{digest[:12]}…, not {public.size} bytes, {public.sha256[:12]}…)"
        )
    os.replace(partial, target)


def _download(url: str, partial: Path) -> None:
    """Fetch, or go on with, a file."""
    there = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={there}-"} if there else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if there and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all of it is there
        raise
    # A server that knows no ranges begins anew.
    with answer, partial.open("ab" if answer.status == http.client.PARTIAL_CONTENT else "wb") as file:
        while data := answer.read(CHUNK):
            file.write(data)
        if answer.length:  # bytes that were promised
            raise http.client.IncompleteRead(b"", answer.length)


def _words(error: Exception) -> str:
    return str(getattr(error, "reason", "") or error) or type(error).__name__


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=fetched_folder)
def main(folder: Path) -> None:
    """Fetch what the tests need and the project does not ship."""
    wanted = addresses()
    new = fetch(folder, wanted)
    size = sum((folder / public.path).stat().st_size for public in wanted)
    click.echo(f"{folder}: {len(wanted)} files, {shown_bytes(size)}; {len(new)} of them fetched now")


if __name__ == "__main__":
    sys.exit(run(main, sys.argv[1:]))
