"""Several Ray nodes on this machine: each a `ray start` of its own, at its own address, that can die as machines do.

    with ray_nodes(folder, ["one", "two"]) as cluster:        # and a head without CPUs, for drivers
        cluster.nodes["two"].kill()
        cluster.add("three")

A node sees none of this machine's temporary files, where the system lets it be hidden: what a driver hands to a
worker as a path there is not found, as it would not be on another machine.
"""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tasks.settings import QUIET
from tests.servers.processes import ROOT, free_port, wait_until

HEAD = "127.0.0.1"
OBJECT_STORE_BYTES = 128 << 20
SETTINGS = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # A dead node is noticed after 2 s; by default after 15 s, and one that merely does not answer after a minute.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "4",
}


class RayNode:
    """One node: a process and all that it started. begin: starts it."""

    def __init__(self, begin: Callable[[], subprocess.Popen], log: Path) -> None:
        self.begin, self.log = begin, log
        self.process = begin()
        self.killed = False

    def processes(self, title: str = "") -> list[psutil.Process]:
        """Its living processes with this in their command line."""
        if self.killed:
            return []  # its numbers may be others' by now
        family = {process for process in psutil.process_iter() if _session(process) == self.process.pid}
        if self.process.poll() is None:
            family |= set(psutil.Process(self.process.pid).children(recursive=True))
        return [process for process in family if title in _command(process)]

    def wait(self) -> "RayNode":
        """Until it belongs to the cluster."""
        for last in (False, False, True):
            try:
                wait_until(lambda: "Ray runtime started" in self.log.read_text(), self.process, self.log, seconds=120)
                return self
            except AssertionError:
                # Ray gives a node 30 s to join, which a busy machine may exceed.
                self.kill()
                if last:
                    raise
                self.process, self.killed = self.begin(), False
        raise AssertionError("unreachable")

    def kill(self) -> None:
        """SIGKILL to everything at once, as when a machine loses its power."""
        seen: set[psutil.Process] = set()
        # What is stopped starts nothing new.
        while new := set(self.processes()) - seen:
            seen |= new
            _send(new, signal.SIGSTOP)
        _send(seen, signal.SIGKILL)
        psutil.wait_procs(seen, timeout=30)
        self.process.wait(30)
        self.killed = True


class RayNodes:
    """A head without CPUs, for drivers, and nodes."""

    def __init__(self, folder: Path, temporary: Path, environment: dict[str, str]) -> None:
        self.folder, self.temporary = folder, temporary
        self.environment = {**os.environ, **QUIET, **SETTINGS, "PYTHONPATH": str(ROOT), **environment}
        self.environment.pop("RAY_ADDRESS", None)
        self.port = free_port()
        self.nodes: dict[str, RayNode] = {}
        self._numbers = itertools.count(2)
        words = ["--head", f"--port={self.port}", f"--temp-dir={temporary}", "--include-dashboard=false"]
        self.head = self._node("head", HEAD, 0, words, hidden=False)

    @property
    def address(self) -> str:
        """For RAY_ADDRESS."""
        return f"{HEAD}:{self.port}"

    def add(self, name: str, cpus: int = 1) -> RayNode:
        """Start a node; `wait` for it."""
        ip = f"127.0.0.{next(self._numbers)}"
        hidden = can_hide()
        temporary = Path(tempfile.gettempdir()) / "ray" if hidden else self.temporary / name
        words = [f"--address={self.address}", f"--temp-dir={temporary}"]
        self.nodes[name] = self._node(name, ip, cpus, words, hidden=hidden)
        return self.nodes[name]

    def alive(self) -> list[str]:
        """Names of the nodes that were not killed."""
        return [name for name, node in self.nodes.items() if node.process.poll() is None]

    def kill(self) -> None:
        for node in [*self.nodes.values(), self.head]:
            node.kill()

    def _node(self, name: str, ip: str, cpus: int, words: list[str], *, hidden: bool) -> RayNode:
        command = [*_hiding()] if hidden else []
        command += [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--node-ip-address={ip}", *words]
        command += [f"--num-cpus={cpus}", "--num-gpus=0", f"--object-store-memory={OBJECT_STORE_BYTES}"]
        command += ["--disable-usage-stats", "--min-worker-port=0", "--max-worker-port=0"]
        log = self.folder / f"ray-{name}.log"

        def begin() -> subprocess.Popen:
            port = f"--dashboard-agent-listen-port={free_port()}"
            with log.open("wb") as output:
                return subprocess.Popen(
                    [*command, port],
                    cwd=ROOT,
                    env=self.environment,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )

        return RayNode(begin, log)


@contextmanager
def ray_nodes(folder: Path, names: list[str], **environment: str) -> Iterator[RayNodes]:
    """Start a head and nodes of one CPU; kill whatever runs at the end of the block.

    folder: for logs. environment: beside this process's; workers have it.
    """
    # Short: the path of a Unix socket has 107 characters at most.
    temporary = Path(tempfile.mkdtemp(prefix="ray-"))
    cluster = RayNodes(folder, temporary, environment)
    try:
        cluster.head.wait()
        for node in [cluster.add(name) for name in names]:
            node.wait()
        yield cluster
    finally:
        cluster.kill()
        shutil.rmtree(temporary, ignore_errors=True)


def can_hide() -> bool:
    """Whether a process can be given a folder of temporary files of its own, and needs none of the machine's."""
    temporary = Path(tempfile.gettempdir()).resolve()
    needed = (ROOT, Path(sys.prefix), Path(sys.base_prefix))
    if any(path.resolve().is_relative_to(temporary) for path in needed):
        return False
    try:
        return subprocess.run([*_hiding(), "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _hiding() -> list[str]:
    """What goes before a command that shall not see this machine's temporary files."""
    script = 'mount -t tmpfs tmpfs "$0" && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, tempfile.gettempdir()]


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return 0


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _send(processes: set[psutil.Process], sign: int) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(sign)
