import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pcakd.storage import open_storage
from tasks import lease as module
from tasks.lease import SupersededError, acquire, lease


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
