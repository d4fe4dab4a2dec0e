"""Bulk jobs from and to a real S3 server through faults, kills and refused credentials; two runs of a job at once."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

import psutil
import pytest

from pcakd.errors import PcakdError
from pcakd.storage import Storage, open_storage
from tests.corpus import Sample, bad_photos, good_photos, jpeg
from tests.servers.fault_proxy import FaultProxy, Rule, fault_proxy
from tests.servers.processes import end, wait_until
from tests.tasks.bulk import jobs
from tests.tasks.shards.test_s3_job import ODD_KEYS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
FAULTS = {"503": 0.05, "reset": 0.01, "cut": 0.01, "drop_response": 0.01}


def samples(count: int) -> list[Sample]:
    """Small photos, of which 2 % are bad, in every way."""
    bad = bad_photos()
    many = [
        Sample(name=f"bad-{number:03d}-{bad[number % len(bad)].name}", data=sample.data, reason=sample.reason)
        for number in range(count // 50)
        for sample in [bad[number % len(bad)]]
    ]
    return good_photos(count - len(many), 32, 48) + many


def upload(storage: Storage, found: list[Sample]) -> None:
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda sample: storage.write(sample.name, sample.data), found))


class Command:
    """Runs of `pcakd stylize-bucket` on one job, through a proxy."""

    def __init__(self, folder: Path, bucket: str, proxy: FaultProxy, count: int) -> None:
        self.folder, self.proxy = folder, proxy
        self.source, self.dest = (open_storage(f"s3://{bucket}/{name}") for name in ("in", "out"))
        self.style, self.model = jobs.style(folder), jobs.student(folder)
        odd = [Sample(name=key, data=jpeg(2000 + number, 32, 48)) for number, key in enumerate(ODD_KEYS)]
        self.samples = samples(count - len(odd)) + odd
        upload(self.source, self.samples)
        self.log = folder / "log"
        self._started: list[subprocess.Popen] = []
        self._put = f"/{bucket}/out/"

    def is_result(self, method: str, path: str) -> bool:
        """Whether a request writes a result."""
        return method == "PUT" and path.startswith(self._put) and not path.startswith(f"{self._put}_pcakd/")

    def start(self, *options: object, ray: str = "") -> subprocess.Popen:
        """ray: address of the cluster; empty: one of its own."""
        words = ["stylize-bucket", self.source.uri(), self.dest.uri(), "--style", self.style, "--model", self.model]
        environment = {"PCAKD_S3_ENDPOINT_URL": self.proxy.url, "RAY_ADDRESS": ray, "PCAKD_NUM_CPUS": "2"}
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "flows.cli", *map(str, (*words, *options))],
                env=os.environ | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def end(self) -> None:
        """Leave nothing behind that would take the cluster from later tests."""
        for process in self._started:
            end(process, signal.SIGKILL)

    def rows(self) -> int:
        """Items that have a row by now."""
        try:
            return len(jobs.snapshot_of(self.dest).rows(0))
        except (PcakdError, ValueError):  # there is none yet
            return 0

    def wait_for(self, true: Callable[[], object], process: subprocess.Popen) -> None:
        wait_until(true, process, self.log)

    def wait(self, process: subprocess.Popen) -> int:
        try:
            return process.wait(600)
        finally:
            process.kill()

    def puts(self) -> list[str]:
        """Keys of results, each time one was written and its writer told so."""
        prefix = f"{self._put}_pcakd/"
        return [
            unquote(path.partition("?")[0]).removeprefix(self._put)
            for method, path, status in list(self.proxy.answered)
            if method == "PUT" and status == 200 and path.startswith(self._put) and not path.startswith(prefix)
        ]

    def check(self) -> dict[str, dict]:
        """One final row an object, a whole result for each good one, a sample as the library makes it."""
        rows = jobs.final_rows(self.dest)
        assert {key: row["status"] for key, row in rows.items()} == {
            sample.name: sample.reason or "ok" for sample in self.samples
        }
        jobs.check_outputs(self.dest, rows)
        good = [sample for sample in self.samples if not sample.reason]
        for sample in good[:: len(good) // 6] + good[-3:]:
            output = rows[sample.name]["output"]
            assert self.dest.read(output) == jobs.expected(self.model, self.style, sample.data, output), sample.name
        assert not self.dest.sweep(), "no upload is left unfinished"
        return rows


@pytest.fixture
def proxy(ceph):
    with fault_proxy(ceph.endpoint, seed=7) as found:
        yield found


@pytest.fixture
def command_on(ceph_bucket, proxy, tmp_path):
    """Makes a command on a job of so many objects."""
    made: list[Command] = []

    def make(count: int) -> Command:
        made.append(Command(tmp_path, ceph_bucket, proxy, count))
        return made[-1]

    yield make
    for command in made:
        command.end()


def ray_processes(root: int, name: str) -> list[psutil.Process]:
    """Processes below another whose title has `name`."""
    found = []
    for process in psutil.Process(root).children(recursive=True):
        try:
            if name in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill_a_worker(root: int) -> None:
    """SIGKILL the one that stylizes, as the kernel does for want of memory."""
    while not (found := ray_processes(root, "ray::MapWorker")):
        time.sleep(0.05)
    found[0].kill()


def test_through_faults_and_kills_every_object_ends_once_and_whole(command_on, ceph_bucket, proxy, ray_cluster):
    count = 2000
    command = command_on(count)
    for kind, probability in FAULTS.items():
        proxy.rules.append(Rule(kind, probability=probability, after=600))
    started = time.monotonic()
    written: list[int] = []
    # The first run on a Ray of its own, which must die with it.
    for address, worker_at, driver_at in (("", 250, 500), (ray_cluster, 900, 1300)):
        process = command.start(ray=address)
        try:
            command.wait_for(lambda at=worker_at: len(command.puts()) >= at, process)
            kill_a_worker(os.getpid() if address else process.pid)
            command.wait_for(lambda at=driver_at: len(command.puts()) >= at, process)
        finally:
            process.kill()
        process.wait()
        time.sleep(1)
        written.append(len(command.puts()))
    assert command.wait(command.start(ray=ray_cluster)) == 3, command.log.read_text()[-3000:]
    seconds = time.monotonic() - started
    assert {kind for kind, _, _ in proxy.injected} == set(FAULTS)
    command.check()

    puts = command.puts()
    again = [len(set(puts[:before]) & set(puts[before:])) for before in written]
    print(
        f"{count} objects in {seconds:.0f} s; faults {dict(Counter(kind for kind, _, _ in proxy.injected))}; results "
        f"written again after each driver kill: {again}, {max(again) / count:.2%} of the objects at most; in all, with "
        f"killed workers: {len(puts) - len(set(puts))}"
    )
    assert max(again) <= 0.05 * count

    # A second run lists, compares and reports: no photo is read or written, and a Ray could not even be reached.
    proxy.rules.clear()
    for log in (proxy.requests, proxy.answered):
        log.clear()
    assert command.wait(command.start(ray="127.0.0.1:1")) == 3, command.log.read_text()[-3000:]
    photos = [path for method, path in proxy.requests if f"/{ceph_bucket}/in/" in path and method in ("GET", "HEAD")]
    assert not photos
    assert not command.puts()


def test_expired_credentials_an_interrupt_then_two_runs_at_once(command_on, proxy, ray_cluster):
    command = command_on(400)

    # Credentials expire midway: the run stops with one line; what is recorded is true.
    process = command.start(ray=ray_cluster)
    command.wait_for(lambda: command.rows() >= 60, process)
    expired = Rule("expired")
    proxy.rules.append(expired)
    since = time.monotonic()
    assert command.wait(process) == 5, command.log.read_text()[-3000:]
    print(f"ended {time.monotonic() - since:.1f} s after the credentials expired")
    said = [line for line in command.log.read_text().splitlines() if line.startswith("pcakd: ")]
    assert len(said) == 1
    # A worker is named; whoever reads the line runs the driver.
    assert re.search(
        r"refuses the credentials( in the environment of the Ray worker on \S+)? \(ExpiredToken\)", said[0]
    )
    assert "Traceback" not in command.log.read_text()
    proxy.rules.clear()
    snapshot = jobs.snapshot_of(command.dest)
    outputs = jobs.outputs(command.dest)
    ok = [row for row in snapshot.rows(0).to_pylist() if row["status"] == "ok"]
    assert {row["output"] for row in ok} <= set(outputs)
    assert snapshot.done() is None
    assert 60 <= command.rows() < 400

    # The same command goes on, to a gate that keeps it from ending by itself; Ctrl-C ends it and the Ray it started.
    written, before = len(command.puts()), command.rows()
    proxy.rules.append(Rule("gate", match=lambda *it: command.is_result(*it) and len(command.puts()) >= written + 150))
    process = command.start()
    command.wait_for(lambda: command.rows() >= before + 60, process)
    mine = psutil.Process(process.pid).children(recursive=True)
    assert ray_processes(process.pid, "raylet")
    since = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    assert command.wait(process) == 130, command.log.read_text()[-3000:]
    print(f"ended {time.monotonic() - since:.1f} s after Ctrl-C")
    assert "pcakd: interrupted" in command.log.read_text()
    assert "Traceback" not in command.log.read_text()
    _, alive = psutil.wait_procs(mine, timeout=30)
    assert not alive
    assert jobs.snapshot_of(command.dest).report.exists("report.html")

    # Two at once: one works, kept from ending by the gate until the other waits, which then finds all done.
    both = [command.start(ray=ray_cluster) for _ in range(2)]
    command.wait_for(lambda: "waiting until that run finishes" in command.log.read_text(), both[0])
    proxy.rules.clear()
    assert [command.wait(process) for process in both] == [3, 3], command.log.read_text()[-3000:]
    command.check()


def test_two_runs_that_both_think_they_are_alone_lose_and_double_nothing(command_on, proxy):
    command = command_on(150)
    places = (command.source.uri(), command.dest.uri(), command.style, command.model)
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.tasks.bulk.unleased", *map(str, places)],
            env=os.environ | {"PCAKD_S3_ENDPOINT_URL": proxy.url, "RAY_ADDRESS": "", "PCAKD_NUM_CPUS": "1"},
        )
        for _ in range(2)
    ]
    assert [command.wait(process) for process in both] == [0, 0]
    rows = command.check()
    assert Counter(command.puts()).most_common(1)[0][1] == 2, "they did work at once"
    snapshot = jobs.snapshot_of(command.dest)
    assert snapshot.totals().status == snapshot.done().status == dict(Counter(row["status"] for row in rows.values()))
