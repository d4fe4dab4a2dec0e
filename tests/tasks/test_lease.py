import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from pcakd.errors import NotFoundError, TransientError
from pcakd.storage import LocalStorage, open_storage
from tasks import lease as module
from tasks.lease import SupersededError, acquire, holder_of, lease, waiting_for


@pytest.fixture
def workspace(tmp_path):
    return open_storage(tmp_path)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(module, "BEAT_S", 0.05)
    monkeypatch.setattr(module, "POLL_S", 0.02)
    monkeypatch.setattr(module, "STALE_S", 0.5)


def test_the_second_waits_until_the_first_lets_go(workspace, quick):
    order, waited = [], []

    def second():
        with lease(workspace, "a", holder="second", waiting=waited.append):
            order.append("second")

    with lease(workspace, "a", holder="first"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(1.0)  # longer than STALE_S: heartbeats keep it
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert waited == ["first"]


def test_only_one_of_many_holds_it_at_a_time(workspace, quick):
    inside, most = [], []

    def work():
        with lease(workspace, "a", holder="x"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


HOLD = """
import sys, time
from pcakd.storage import open_storage
from tasks.lease import acquire
acquire(open_storage(sys.argv[1]), holder="other process")
print("held", flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_a_killed_holder_is_overtaken_at_once_and_a_living_one_is_not(workspace, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert process.stdout.readline() == b"held\n"
    waiting = threading.Event()
    got = []
    thread = threading.Thread(
        target=lambda: got.append(acquire(workspace, holder="me", waiting=lambda who: waiting.set()))
    )
    thread.start()
    assert waiting.wait(30)
    assert not got
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    thread.join(10)
    assert got[0].number == 2
    got[0].release()


def test_a_holder_that_stood_still_too_long_finds_that_it_was_overtaken(workspace, quick, monkeypatch):
    held = acquire(workspace, holder="frozen")
    held._stop.set()  # no heartbeat any more, as of a process that is stopped
    held._thread.join()
    other = acquire(workspace, holder="other")
    with pytest.raises(SupersededError, match="another run took this stage over"):
        held.check()
    other.check()
    held.release()
    other.check()
    other.release()


@pytest.fixture
def patient(monkeypatch):
    """Nobody is taken for dead for standing still."""
    monkeypatch.setattr(module, "BEAT_S", 0.02)
    monkeypatch.setattr(module, "POLL_S", 0.01)
    monkeypatch.setattr(module, "STALE_S", 1e9)


def until(true) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def record(storage) -> dict:
    *_, entry = storage.list()
    return json.loads(storage.read(entry.key))


def test_who_lets_go_lets_the_next_one_in_at_once(workspace, patient):
    told = []
    for number in (1, 2, 3):
        held = acquire(workspace, holder="one of three", waiting=told.append)
        assert held.number == number
        assert [entry.key for entry in workspace.list()] == [f"{number:08d}.json"], "who was before has been tidied up"
        assert (record(workspace)["holder"], record(workspace)["released"]) == ("one of three", False)
        held.release()
        assert record(workspace)["released"] is True
        assert not held.lost
        assert not held._thread.is_alive()
    assert told == []


def test_a_holder_beats_and_its_heartbeat_hears_of_another_one(workspace, patient):
    held = acquire(workspace, holder="me")
    assert held._thread.daemon, "a process may end while it holds one"
    until(lambda: record(workspace)["beats"] >= 2)
    held.check()
    assert not held.lost
    workspace.create("00000002.json", b"{}")
    until(lambda: held.lost)
    with pytest.raises(SupersededError):
        pickle.loads(pickle.dumps(held.claim)).check()
    held.release()
    assert workspace.read("00000002.json") == b"{}"


def test_who_finds_out_by_asking_does_not_write_again(workspace, patient, monkeypatch):
    monkeypatch.setattr(module, "BEAT_S", 1e9)
    held = acquire(workspace, holder="me")
    workspace.create("00000002.json", b"{}")
    with pytest.raises(SupersededError):
        held.check()
    assert held.lost
    held.release()
    assert json.loads(workspace.read("00000001.json"))["released"] is False


class Slow(LocalStorage):
    """Its first heartbeat hangs until it is let on."""

    def __init__(self, root):
        super().__init__(root)
        self.hangs, self.on = threading.Event(), threading.Event()

    def write(self, key, data):
        if b'"beats": 1' in data and not self.hangs.is_set():
            self.hangs.set()
            assert self.on.wait(60)
        super().write(key, data)


def test_a_heartbeat_that_hangs_does_not_take_back_that_it_was_let_go(tmp_path, patient):
    storage = Slow(tmp_path)
    held = acquire(storage, holder="me")
    assert storage.hangs.wait(60)
    letting_go = threading.Thread(target=held.release)
    letting_go.start()
    letting_go.join(0.1)
    assert letting_go.is_alive(), "it waits for the heartbeat"
    storage.on.set()
    letting_go.join()
    assert record(storage)["released"] is True


def test_where_leases_lie_and_how_soon_a_silent_holder_is_overtaken(workspace):
    """Other versions look in the same place; docs/pipeline.md says a minute."""
    with lease(workspace, "students/3f0c", holder="me"):
        assert [entry.key for entry in workspace.list()] == ["_leases/students/3f0c/00000001.json"]
    assert 10 * module.BEAT_S <= module.STALE_S <= 60
    assert module.STALE_S < module.FORGOTTEN_S <= 600
    assert module.POLL_S <= 1


def left(workspace, **changes) -> None:
    """A lease as a holder on this machine left it, that is, as this very process did, but for changes."""
    mine = {"holder": "who was before", "released": False, "beats": 3, **module._this_process()}
    workspace.write("00000007.json", json.dumps(mine | changes).encode())


def test_a_process_that_is_gone_from_this_machine_is_overtaken_at_once(workspace, patient):
    (workspace.root / "notes.txt").write_text("no lease")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for changes in ({"pid": gone.pid}, {"started": 1.0}):
        left(workspace, **changes)
        held = acquire(workspace, holder="me", waiting=lambda who: pytest.fail("waited"))
        assert held.number == 8
        held.release()
        workspace.delete("00000008.json")


def test_a_process_that_ended_and_was_not_fetched_by_its_parent_is_gone(workspace, patient):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    seen = psutil.Process(process.pid)
    left(workspace, pid=process.pid, started=seen.create_time())
    assert holder_of(workspace, time.time()) == "who was before"
    process.stdin.close()
    until(lambda: seen.status() == psutil.STATUS_ZOMBIE)
    assert holder_of(workspace, time.time()) == ""
    process.wait()


@pytest.mark.skipif(not Path("/proc").exists(), reason="only Linux tells when it was started")
def test_a_process_is_told_by_machine_start_of_the_machine_number_and_start():
    own = psutil.Process()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    wanted = {"host": socket.gethostname(), "boot": boot, "pid": own.pid, "started": own.create_time()}
    assert module._this_process() == wanted


@pytest.mark.parametrize("changes", [{}, {"host": "elsewhere", "pid": 1}, {"boot": "before", "started": 1.0}])
def test_one_that_lives_or_may_live_elsewhere_is_waited_for(workspace, patient, changes):
    left(workspace, **changes)
    waited, got = [], []
    thread = threading.Thread(target=lambda: got.append(acquire(workspace, holder="me", waiting=waited.append)))
    thread.start()
    until(lambda: waited)
    assert waited == ["who was before"]
    assert not got
    left(workspace, **changes, released=True)
    thread.join()
    got[0].release()
    assert waited == ["who was before"], "it is told once"


def test_who_waits_is_told_for_whom_as_far_as_that_is_known(workspace, patient):
    workspace.write("00000001.json", json.dumps({"released": False, "host": "elsewhere", "boot": ""}).encode())

    def told(who: str) -> None:
        raise LookupError(who)

    with pytest.raises(LookupError, match=r"^another run$"):
        acquire(workspace, holder="me", waiting=told)
    words = waiting_for("another run", "students/3f0c")
    assert words == "another run is working on students/3f0c; waiting until that run finishes or dies"


def test_a_record_that_is_not_whole_may_be_whole_the_next_time(workspace, patient):
    workspace.write("00000001.json", b'{"holder": "who')
    with pytest.raises(TransientError, match="not whole; try again"):
        acquire(workspace, holder="me")


class Vanishing(LocalStorage):
    """What is listed is gone when it is read, the first time."""

    vanished = False

    def read_with_info(self, key):
        if not self.vanished:
            self.vanished = True
            raise NotFoundError(f"{key}: no such file")
        return super().read_with_info(key)


def test_a_record_that_has_just_been_tidied_up_is_no_error(workspace, patient, tmp_path):
    left(workspace, released=True)
    held = acquire(Vanishing(tmp_path), holder="me")
    held.release()
    assert held.number == 8
    assert holder_of(Vanishing(tmp_path), time.time()) == "a run that has just begun"


def test_a_look_tells_who_holds_a_lease_and_forgets_one_that_has_long_been_silent(workspace, patient):
    assert holder_of(workspace, time.time()) == ""
    (workspace.root / "notes.txt").write_text("no lease")
    left(workspace, host="elsewhere")
    told = workspace.head("00000007.json").mtime
    assert holder_of(workspace, told + module.FORGOTTEN_S) == "who was before"
    assert holder_of(workspace, told + module.FORGOTTEN_S + 1) == ""
    left(workspace, released=True)
    assert holder_of(workspace, told) == ""
    workspace.write("00000010.json", json.dumps({"released": False, "host": "elsewhere", "boot": ""}).encode())
    assert holder_of(workspace, told) == "another run"
