"""One run at a time works on a stage output, and a run that was taken for dead cannot finish it later.

    with lease(workspace, "distill/3f0c...", holder="flow run brave-otter") as held:
        ...
        held.check()          # raises SupersededError once somebody else took over

A lease is a row of numbered objects under `<workspace>/_leases/<name>/`: whoever creates the next number,
which a storage lets one client do only, is the holder. The holder rewrites its object every few seconds; one
that stands still for `STALE_S`, or whose process is gone from this machine, is overtaken by the next number.
"""

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcakd.errors import FatalError, NotFoundError, PcakdError, TransientError
from pcakd.storage import Storage

FOLDER = "_leases"
BEAT_S = 5.0
STALE_S = 60.0
"""How long a holder's object may stay unchanged before the holder counts as dead. The reader watches it by its own
clock; those of other machines play no part."""
POLL_S = 1.0
FORGOTTEN_S = 600.0
"""After that a look takes no holder for living, though the clocks of storage and reader differ by minutes."""


class SupersededError(FatalError):
    """Another run took this stage over; this one must not write any more."""


@dataclass(frozen=True)
class Claim:
    """A lease as other processes of its holder know it; can be pickled."""

    storage: Storage
    number: int

    def check(self) -> None:
        """Raise SupersededError if another run holds the stage by now. Reads the storage: not for inner loops."""
        if _top(self.storage) > self.number:
            raise SupersededError(f"{self.storage.uri()}: another run took this stage over; this one stops")


class Lease:
    """A lease that is held. Heartbeats come from a thread of its own."""

    def __init__(self, storage: Storage, number: int, record: dict[str, Any]) -> None:
        self.storage, self.number = storage, number
        self._record = record
        self._stop = threading.Event()
        self._superseded = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="pcakd-lease", daemon=True)
        self._thread.start()

    @property
    def claim(self) -> Claim:
        """For workers on other nodes."""
        return Claim(self.storage, self.number)

    def check(self) -> None:
        """Raise SupersededError if another run holds the stage by now. Reads the storage: not for inner loops."""
        try:
            self.claim.check()
        except SupersededError:
            self._superseded.set()
            raise

    @property
    def lost(self) -> bool:
        """Whether the heartbeat has seen another holder; cheap."""
        return self._superseded.is_set()

    def release(self) -> None:
        """Let the next one in at once."""
        self._stop.set()
        self._thread.join()
        with suppress(PcakdError):
            if not self._superseded.is_set():
                self._write(released=True)

    def _beat(self) -> None:
        beats = 0
        while not self._stop.wait(BEAT_S):
            beats += 1
            with suppress(PcakdError):  # a storage that is away for a moment; `check` tells in the end
                if _top(self.storage) > self.number:
                    self._superseded.set()
                    return
                self._write(beats=beats)

    def _write(self, **changes: Any) -> None:
        self._record |= changes
        self.storage.write(_key(self.number), json.dumps(self._record).encode())


def waiting_for(who: str, what: str) -> str:
    """What a user is told who waits for a lease."""
    return f"{who} is working on {what}; waiting until that run finishes or dies"


@contextmanager
def lease(
    workspace: Storage, name: str, *, holder: str, waiting: Callable[[str], None] = lambda who: None
) -> Iterator[Lease]:
    """Hold `name` for the block; waits while a living run holds it. waiting: told once who that is."""
    storage = workspace.sub(f"{FOLDER}/{name}")
    held = acquire(storage, holder=holder, waiting=waiting)
    try:
        yield held
    finally:
        held.release()


def acquire(storage: Storage, *, holder: str, waiting: Callable[[str], None] = lambda who: None) -> Lease:
    """The lease, as soon as nobody living holds it."""
    record = {"holder": holder, "token": secrets.token_hex(8), "beats": 0, "released": False, **_this_process()}
    seen: tuple[int, bytes] = (0, b"")
    since = time.monotonic()
    told = False
    while True:
        top = _top(storage)
        data = b""
        if top:
            try:
                data = storage.read(_key(top))
            except NotFoundError:
                continue  # its holder has just tidied up behind a later number
        if (top, data) != seen:
            seen, since = (top, data), time.monotonic()
        if not top or _is_free(data) or time.monotonic() - since > STALE_S:
            if storage.create(_key(top + 1), json.dumps(record).encode()):
                for number in range(max(1, top - 1), top + 1):
                    storage.delete(_key(number))
                return Lease(storage, top + 1, record)
            continue
        if not told:
            told = True
            waiting(str(_parsed(data).get("holder", "another run")))
        time.sleep(POLL_S)


def holder_of(storage: Storage, now: float) -> str:
    """Who holds a lease, as far as one look can tell; "" for nobody, or for one who has not told of himself for long.

    storage: of the lease. now: seconds since 1970 by a clock near the storage's.
    """
    top = max((entry for entry in storage.list() if entry.key[:8].isdecimal()), key=lambda one: one.key, default=None)
    if top is None or now - top.mtime > FORGOTTEN_S:
        return ""
    try:
        data = storage.read(top.key)
    except NotFoundError:
        return "a run that has just begun"
    return "" if _is_free(data) else str(_parsed(data).get("holder", "another run"))


def _key(number: int) -> str:
    return f"{number:08d}.json"


def _top(storage: Storage) -> int:
    return max((int(entry.key[:8]) for entry in storage.list() if entry.key[:8].isdecimal()), default=0)


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        record = json.loads(data)
    except ValueError:
        raise TransientError("a lease's record is not whole; try again") from None
    return record


def _is_free(data: bytes) -> bool:
    record = _parsed(data)
    if record["released"]:
        return True
    here = _this_process()
    if (record["host"], record["boot"]) != (here["host"], here["boot"]):
        return False
    return record["started"] != _started(record["pid"])


def _this_process() -> dict[str, Any]:
    boot = Path("/proc/sys/kernel/random/boot_id")
    return {
        "host": socket.gethostname(),
        "boot": boot.read_text().strip() if boot.exists() else "",
        "pid": os.getpid(),
        "started": _started(os.getpid()),
    }


def _started(pid: int) -> float:
    """When a process of this machine began; 0 where there is none of that number."""
    import psutil  # here, so that a command can tell its --help, or what it lacks, without the pipeline extra

    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return 0.0
