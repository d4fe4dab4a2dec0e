"""Fixtures shared by all tests: assets, S3 servers, one Ray cluster. Real components, started once a session."""

import atexit
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.assets.places import Assets, fetch_once, fetched_folder, missing, not_checked, shared_folder
from tests.servers.s3 import S3Server

if TYPE_CHECKING:
    from tests.servers.postgres import Postgres

ROOT = Path(__file__).resolve().parents[1]

# Commands and Ray workers that tests start run this tree's code, against test servers and nothing else.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
os.environ |= S3Server(endpoint="http://127.0.0.1:9", access_key="testaccess", secret_key="testsecret").environment()

# Ray gives its workers the lowest priority but four: beside other work on the machine they would starve.
os.environ |= {"RAY_worker_niceness": "0"}

# Threads of one process that wait for each other spin: beside other work on the machine that costs six times as much.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# They hear Ctrl-C also where the tests run in the background of a shell, which has their processes ignore it.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Nor do they leave anything in the home folder, but for what is fetched for them.
os.environ["PCAKD_TEST_ASSETS"] = str(fetched_folder())
os.environ["PCAKD_CACHE"] = tempfile.mkdtemp(prefix="pcakd-cache-")
atexit.register(shutil.rmtree, os.environ["PCAKD_CACHE"], ignore_errors=True)

ALL_SLOW = re.compile(r"^pytestmark = .*\bpytest\.mark\.slow\b", re.MULTILINE)
HAS_NONE: dict[str, Callable[[str], bool]] = {
    "not slow": lambda module: bool(ALL_SLOW.search(module)),
    "slow and not alone": lambda module: "mark.slow" not in module,
    "alone": lambda module: "mark.alone" not in module,
}
"""By the marks that are asked for: whether a module, by its text, has no test with them."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Each part of `make test` does without importing modules that have none of its tests: many bring MLflow, Prefect
    and Ray, and every worker would spend seconds on each."""
    has_none = HAS_NONE.get(config.option.markexpr)
    if has_none and collection_path.match("test_*.py"):
        return has_none(collection_path.read_text()) or None
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if lines := not_checked(terminalreporter.stats.get("skipped", [])):
        terminalreporter.section("PROMISES THAT WERE NOT CHECKED HERE", red=True, bold=True)
        for line in lines:
            terminalreporter.write_line(line, red=True)


@pytest.fixture(scope="session")
def assets() -> Assets:
    """Real photos and weights, by part."""
    return Assets(shared_folder(), fetched_folder(), fetch_once)


@pytest.fixture(autouse=True)
def _own_tracking_address() -> Iterator[None]:
    """Clients and commands of a test use the MLflow that it names: MLflow's own functions keep theirs in the process
    and in environ, for whoever comes next."""
    _forget_tracking_address()  # a fixture of several tests may have left one, too
    yield
    _forget_tracking_address()


def _forget_tracking_address() -> None:
    if "mlflow" in sys.modules:
        import mlflow

        mlflow.set_registry_uri(None)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        os.environ.pop(name, None)


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3Server]:
    """A quick S3 server in this process; it accepts any secret and any checksum."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield S3Server(endpoint=f"http://{host}:{port}", access_key="testaccess", secret_key="testsecret")
    server.stop()


@pytest.fixture
def s3_server(moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The quick S3 server, with this process's environment pointing at it."""
    for name, value in moto_server.environment().items():
        monkeypatch.setenv(name, value)
    return moto_server


@pytest.fixture(scope="session")
def ceph() -> Iterator[S3Server]:
    """A real S3 server, which judges signatures, checksums and conditions."""
    from tests.servers.ceph import ceph_server, why_not

    if reason := why_not():
        missing(reason)
    with ceph_server() as server:
        yield server


@pytest.fixture
def ceph_bucket(ceph: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket of the real S3 server, with this process's environment pointing at it."""
    for name, value in ceph.environment().items():
        monkeypatch.setenv(name, value)
    return ceph.new_bucket()


@pytest.fixture(scope="session")
def postgres() -> Iterator["Postgres"]:
    """A PostgreSQL server; each test that uses it creates databases of its own."""
    from tests.servers.postgres import postgres_server, why_not

    if reason := why_not():
        missing(reason)
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """One local Ray with 2 CPUs, which `tasks.cluster.attach.ray_cluster` finds and leaves as it is; its address,
    for RAY_ADDRESS of commands. Its workers have the credentials of the test servers."""
    from tasks.cluster.attach import ray_cluster

    with ray_cluster(num_cpus=2, object_store_bytes=256 << 20) as context:
        yield context.gcs_address
