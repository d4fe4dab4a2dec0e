"""A look at the head of a Ray cluster: a minute after it is gone Ray ends this process, with code 1 and no word."""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pcakd.errors import EXIT_TRANSIENT

LOOK_EVERY_S = 5.0
GONE_S = 50.0
"""A head that has not answered for so long is gone. Ray itself waits 60 s."""


@contextmanager
def watched_head(address: str) -> Iterator[None]:
    """While the block runs: end the process in one line and exit code 4 before Ray ends it. address: "host:port"."""
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(address, over, _end), name="pcakd-ray-head", daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


def _watch(address: str, over: threading.Event, gone: Callable[[str], None]) -> None:
    answered = time.monotonic()
    while not over.wait(LOOK_EVERY_S):
        if _answers(address):
            answered = time.monotonic()
        elif time.monotonic() - answered > GONE_S:
            gone(address)
            return


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=LOOK_EVERY_S).close()
    except OSError:
        return False
    return True


def _end(address: str) -> None:
    """From this thread: the others wait inside Ray, where no exception reaches them."""
    print(f"pcakd: the Ray cluster's head at {address} is gone; the same command goes on", file=sys.stderr, flush=True)
    os._exit(EXIT_TRANSIENT)
