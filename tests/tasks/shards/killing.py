"""Taking in by processes that SIGKILL ends before a given change of the file system: nothing of theirs is tidied up."""

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tasks.shards import compaction
from tests.tasks.shards.histories import grow

MANY = 3
"""So many small shards are packed anew."""


class Taking:
    """Takes a source into datasets. Each run is a process of its own, forked from one that does nothing else."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def killed_at(self, change: int, source: Path, dest: Path) -> bool:
        """Whether SIGKILL ended the run before its change of that number, from 0 on; False: it made fewer, and ended
        well."""
        self._connection.send((change, source, dest))
        code = self._connection.recv()
        assert code in (0, -signal.SIGKILL), f"exit code {code}"
        return code != 0


@contextmanager
def taking() -> Iterator[Taking]:
    """Runs in this block."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("forkserver").Process(target=_serve, args=(theirs,))
    process.start()
    theirs.close()
    try:
        yield Taking(ours)
    finally:
        ours.close()
        process.join()


def _serve(connection: Connection) -> None:
    import pandas  # noqa: F401 (PyArrow does when it is first given a list: here once, not in each run)

    compaction.MANY = MANY
    while True:
        try:
            change, source, dest = connection.recv()
        except EOFError:
            return
        if not (child := os.fork()):
            os._exit(_run(change, source, dest))
        connection.send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _run(change: int, source: Path, dest: Path) -> int:
    left = change

    def count(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left
        if changes(event, args, str(dest)):
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    sys.addaudithook(count)
    try:
        grow(source, dest)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def changes(event: str, args: tuple[Any, ...], below: str) -> bool:
    """Whether what Python is about to do changes a file or folder below a folder: a file is begun, takes its name or
    goes, a folder comes or goes."""
    if event == "open":
        return bool(args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) and str(args[0]).startswith(below)
    if event in ("os.rename", "os.link"):
        return str(args[1]).startswith(below)
    if event not in ("os.mkdir", "os.remove", "os.rmdir"):
        return False
    # Of a folder that is removed whole, names are told within a folder that is open.
    path, folder = args[0], args[-1]
    if folder == -1 and not str(path).startswith(below):
        return False
    try:
        os.stat(path, dir_fd=None if folder == -1 else folder, follow_symlinks=False)
    except FileNotFoundError:
        return event == "os.mkdir"
    return event != "os.mkdir"
