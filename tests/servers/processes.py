"""Processes that tests start: servers, and pipelines that get killed."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.stack.services import answers
from tasks.settings import QUIET

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(words: list[str], log: Path, **environment: str) -> subprocess.Popen:
    """`python -m WORDS` in a session of its own, output into a log."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=ROOT,
            env={**os.environ, **QUIET, "PYTHONPATH": str(ROOT), **environment},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def end(process: subprocess.Popen, sign: int = signal.SIGTERM) -> None:
    """Send a signal to the process, which ends what it started, and wait for it; then kill what is left of its group.

    Not at once to all of it: a Ray node asks its cluster's store for leave to go, and waits half a minute for one that
    has ended before it."""
    if process.poll() is None:
        process.send_signal(sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def wait_until(true: Callable[[], object], process: subprocess.Popen, log: Path, seconds: float = 300) -> None:
    """Wait until something holds while a process runs."""
    deadline = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, f"ended with {process.returncode}: {log.read_text()[-3000:]}"
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.2)


def new_prefect_home(home: Path) -> None:
    """Give a PREFECT_HOME that has no database of Prefect's yet an empty one.

    A quarter of a minute goes into making its tables, so that is done once for a checkout and a release of Prefect."""
    made = ROOT / "build" / "tests" / f"prefect-{version('prefect')}.db"
    made.parent.mkdir(parents=True, exist_ok=True)
    with made.with_suffix(".lock").open("w") as lock, TemporaryDirectory(dir=made.parent) as folder:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            database, log = Path(folder) / "prefect.db", Path(folder) / "upgrade.log"
            where = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}"}
            upgrade = start(["prefect", "server", "database", "upgrade", "-y"], log, PREFECT_HOME=folder, **where)
            assert upgrade.wait(300) == 0, log.read_text()
            database.rename(made)
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "prefect.db").exists():
        shutil.copy(made, home / "prefect.db")


@contextmanager
def prefect_server(folder: Path, database: str = "") -> Iterator[str]:
    """A Prefect server; its API address. database: SQLAlchemy's address of one; empty: a SQLite file."""
    port, log = free_port(), folder / "prefect-server.log"
    words = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    where = {}
    if database:
        where = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": database}
    else:
        new_prefect_home(folder / "prefect")
    api = f"http://127.0.0.1:{port}/api"
    process = start(words, log, PREFECT_HOME=str(folder / "prefect"), PREFECT_UI_API_URL=api, **where)
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/api/health"), process, log)
        yield api
    finally:
        end(process)


class MlflowServer:
    """An MLflow server that can be stopped and started again at its address.

    database: SQLAlchemy's address of one; empty: a SQLite file. artifacts: where they are kept; empty: a folder.
    environment: beside this process's, as the one of an S3 server that artifacts are on.
    """

    def __init__(self, folder: Path, *, database: str = "", artifacts: str = "", **environment: str) -> None:
        self.folder, self.port = folder, free_port()
        self.database = database or f"sqlite:///{folder / 'mlflow.db'}"
        self.artifacts = artifacts or (folder / "artifacts").as_uri()
        self.environment = environment
        self.uri = f"http://127.0.0.1:{self.port}"
        self.log = folder / "mlflow-server.log"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        words = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        words += ["--backend-store-uri", self.database]
        words += ["--serve-artifacts", "--artifacts-destination", self.artifacts]
        self.process = start(words, self.log, **self.environment)
        wait_until(lambda: answers(f"{self.uri}/health"), self.process, self.log)

    def stop(self) -> None:
        if self.process is not None:
            end(self.process)
