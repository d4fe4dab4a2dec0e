"""Progress of a bulk job, on a real terminal and off one."""

import os
import pty
import subprocess
import sys

import pytest

from tasks.bulk import progress as module
from tasks.bulk.progress import BulkProgress, Counts

SCRIPT = """
import time
from pcakd.cli import progress as module
from tasks.bulk.progress import BulkProgress, Counts
module.LINE_EVERY_S = 0.0
with BulkProgress(show=True) as progress:
    progress.doing("starting Ray")
    for done in (10, 15, 20):
        progress.update(Counts(items=20, done=done, failed=2, rows=done - 10))
        time.sleep(0.2)
"""


class Heard:
    """Keeps what it is told, as tracker and as Prefect's progress."""

    def __init__(self) -> None:
        self.sent: list[tuple[dict, int]] = []
        self.told: list[tuple[float, str]] = []

    def metrics(self, values, *, step=0):
        self.sent.append((values, step))

    def tell(self, share, what):
        self.told.append((share, what))


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    times = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: times[0])
    return times


def test_metrics_go_out_every_so_many_seconds_and_at_the_end(clock):
    heard = Heard()
    with BulkProgress(tracker=heard, tell=heard.tell, metrics_every_s=10) as progress:
        for second in range(26):
            clock[0] = 1000.0 + second
            progress.update(Counts(items=100, done=50 + second, failed=1, rows=second, bytes_in=second * 3_000_000))
    assert [step for _, step in heard.sent] == [10, 20, 25]
    assert heard.sent[-1][0] == {"done": 75, "failed": 1, "photos_per_s": 1.0, "mb_per_s": 3.0}
    assert heard.told[0] == (0.5, "50 of 100 photos, 1 failed")
    assert heard.told[-1] == (0.75, "75 of 100 photos, 1 failed, 1.0/s, 0:25 left")


def test_the_rate_is_of_the_last_minute(clock):
    heard = Heard()
    with BulkProgress(tracker=heard) as progress:
        progress.update(Counts(items=1000, done=0, rows=0))
        for second in range(1000, 1100):  # long after the start, two a second
            clock[0] = 1000.0 + second
            progress.update(Counts(items=1000, done=2 * (second - 1000), rows=2 * (second - 1000)))
    assert heard.sent[-1][0]["photos_per_s"] == pytest.approx(2.0)


def test_the_rate_does_not_count_the_time_until_the_first_row(clock):
    heard = Heard()
    with BulkProgress(tell=heard.tell) as progress:
        progress.update(Counts(items=100, done=0, rows=0))
        for second, rows in ((50, 4), (52, 8)):
            clock[0] = 1000.0 + second
            progress.update(Counts(items=100, done=rows, rows=rows))
    assert [what for _, what in heard.told[1:]] == ["4 of 100 photos", "8 of 100 photos, 2.0/s, 0:46 left"]


def test_a_job_that_never_counted_sends_nothing():
    heard = Heard()
    with BulkProgress(tracker=heard) as progress:
        progress.doing("listing")
    assert heard.sent == []


def test_off_a_terminal_there_are_plain_lines():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert lines[0] == "starting Ray"
    assert lines[1] == "10 of 20 photos, 2 failed"
    assert lines[-1].startswith("20 of 20 photos, 2 failed, ")
    assert "\x1b" not in done.stderr


def test_on_a_terminal_there_is_a_bar():
    master, slave = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stderr=slave, env=os.environ | {"COLUMNS": "120"})
    os.close(slave)
    shown = b""
    while True:
        try:
            data = os.read(master, 4096)
        except OSError:  # how a terminal says that nobody is left at the other end
            break
        if not data:
            break
        shown += data
    assert process.wait() == 0
    assert "starting Ray" in shown.decode()
    assert "20 of 20 photos, 2 failed" in shown.decode()
    assert "\x1b[" in shown.decode()
