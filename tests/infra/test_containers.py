"""What the containers run, as plain processes: infra/run, together, as compose.yaml wires it."""

import base64
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, missing
from tests.servers.postgres import USER, postgres_server, programs, why_not
from tests.servers.processes import QUIET, end, free_port, wait_until

RUN = ROOT / "infra" / "run"
HERE = "127.0.0.1"
LOGIN = "pcakd:a-prefect-password"
ADMIN = {"MLFLOW_AUTH_ADMIN_USERNAME": "admin", "MLFLOW_AUTH_ADMIN_PASSWORD": "an-admin-password"}


class Containers:
    """The processes that compose.yaml starts, each by its script."""

    def __init__(self, folder: Path, postgres: int, storage: dict[str, str]) -> None:
        self.folder, self.running = folder, []
        self.ports = {name: free_port() for name in ("prefect", "mlflow", "ray")}
        passwords = {"PREFECT_DATABASE_PASSWORD": "one", "MLFLOW_DATABASE_PASSWORD": "another"}
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "t" * 40}
        ray = {"RAY_OBJECT_STORE_BYTES": "100000000", "RAY_NODE_FOLDER": str(folder / "r"), "RAY_NODE_IP": HERE}
        self.common = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("MLFLOW_", "PREFECT_", "RAY_"))
            },
            **QUIET,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), str(programs()), os.environ["PATH"]]),
            "POSTGRES_HOST": f"{HERE}:{postgres}",
            "LISTEN_ON": HERE,
        }
        self.databases = {
            **passwords,
            "POSTGRES_USER": USER,
            "PGHOST": HERE,
            "PGPORT": str(postgres),
            "PGPASSWORD": USER,
        }
        self.ray = {**token, **ray, **storage, "RAY_PORT": str(self.ports["ray"])}
        self.prefect = {**passwords, "PREFECT_SERVER_API_AUTH_STRING": LOGIN, "PORT": str(self.ports["prefect"])}
        self.prefect |= {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_API_AUTH_STRING": LOGIN}
        self.mlflow = {**passwords, **ADMIN, **storage, "PORT": str(self.ports["mlflow"]), "WORKERS": "1"}
        self.mlflow |= {"MLFLOW_FLASK_SERVER_SECRET_KEY": "k" * 32, "MLFLOW_ARTIFACTS": "s3://mlflow/artifacts"}
        self.mlflow |= {"MLFLOW_S3_ENDPOINT_URL": storage["PCAKD_S3_ENDPOINT_URL"]}
        self.client = {
            **self.ray,
            **ADMIN,
            "RAY_ADDRESS": f"{HERE}:{self.ports['ray']}",
            "PREFECT_HOME": str(folder / "worker"),
            "PREFECT_API_URL": f"http://{HERE}:{self.ports['prefect']}/api",
            "PREFECT_API_AUTH_STRING": LOGIN,
            "MLFLOW_TRACKING_URI": f"http://{HERE}:{self.ports['mlflow']}",
            "MLFLOW_TRACKING_USERNAME": "flows",
            "MLFLOW_TRACKING_PASSWORD": "a-flows-password",
            "PCAKD_WORKSPACE": "s3://pcakd/workspace",
            "PCAKD_PHOTOS": "s3://photos",
            "PCAKD_HOME": str(folder / "home"),
            "BUCKETS": "s3://mlflow/artifacts",
        }

    def start(self, script: str, *words: str, environment: dict[str, str]) -> subprocess.Popen:
        """A shell script or module of infra/run."""
        shell = ["bash", str(RUN / script)] if script.endswith(".sh") else [sys.executable, "-m", f"infra.run.{script}"]
        with self.log(script).open("ab") as output:
            process = subprocess.Popen(
                [*shell, *words],
                cwd=ROOT,
                env=self.common | environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.running.append(process)
        return process

    def once(self, *words: str, environment: dict[str, str]) -> subprocess.CompletedProcess:
        return subprocess.run(
            words, cwd=ROOT, env=self.common | environment, capture_output=True, text=True, timeout=300, check=False
        )

    def healthy(self, *words: str) -> bool:
        command = [sys.executable, "-m", "infra.run.healthy", *words]
        return self.once(*command, environment=self.client).returncode == 0

    def log(self, script: str) -> Path:
        return self.folder / f"{script}.log"

    def start_ray(self, script: str, *words: str, environment: dict[str, str]) -> subprocess.Popen:
        """Start a script with a Ray node and wait until that is part of the cluster; again where it ends at once,
        since Ray gives its parts 30 s to start, which a busy machine may exceed."""
        for _ in range(3):
            self.log(script).unlink(missing_ok=True)
            process = self.start(script, *words, environment=environment)
            while process.poll() is None and "Ray runtime started" not in self.log(script).read_text():
                time.sleep(0.5)
            if process.poll() is None:
                return process
        raise AssertionError(self.log(script).read_text()[-3000:])

    def wait(self, script: str, process: subprocess.Popen, *check: str) -> None:
        """By the container's own health check, every 2 s: each is a start of Python."""

        def healthy() -> bool:
            time.sleep(2)
            return self.healthy(*check)

        wait_until(healthy, process, self.log(script))


def status_of(url: str, login: str = "") -> int:
    request = urllib.request.Request(url)
    if login:
        request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=20) as got:
            return got.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture(scope="module")
def containers(moto_server, tmp_path_factory) -> Iterator[Containers]:
    if reason := why_not():
        missing(reason)
    with postgres_server() as postgres:
        # Ray's sockets want short paths.
        made = Containers(tmp_path_factory.mktemp("c"), postgres.port, moto_server.environment())
        script = ROOT / "infra" / "kubernetes" / "postgres" / "databases.sh"
        done = made.once("sh", str(script), environment=made.databases)
        assert done.returncode == 0, done.stderr
        try:
            servers = {
                "prefect-server.sh": (
                    made.start("prefect-server.sh", environment=made.prefect),
                    "prefect",
                    "api/health",
                ),
                "mlflow-server.sh": (made.start("mlflow-server.sh", environment=made.mlflow), "mlflow", "health"),
            }
            for script, (process, name, path) in servers.items():
                made.wait(script, process, "http", f"http://{HERE}:{made.ports[name]}/{path}")
            yield made
        finally:
            for process in made.running:
                end(process)


@pytest.mark.slow
def test_prefect_and_mlflow_answer_nobody_without_the_password(containers):
    prefect, mlflow = (f"http://{HERE}:{containers.ports[name]}" for name in ("prefect", "mlflow"))
    for url, login in (
        (f"{prefect}/api/flows/count", LOGIN),
        (f"{mlflow}/api/2.0/mlflow/experiments/search?max_results=1", "admin:an-admin-password"),
        (f"{mlflow}/api/2.0/mlflow-artifacts/artifacts", "admin:an-admin-password"),
    ):
        assert status_of(url) == 401
        assert status_of(url, login[:-1]) == 401
        assert status_of(url, login) not in (401, 403, 500)


@pytest.mark.slow
def test_the_set_up_makes_buckets_login_pool_and_deployments_and_can_be_repeated(containers, moto_server):
    for word in ("made", "was there"):
        done = containers.once(sys.executable, "-m", "infra.run.setup", environment=containers.client)
        assert done.returncode == 0, done.stderr
        lines = [f"bucket {name}: {word}" for name in ("mlflow", "pcakd", "photos")]
        lines += [f"MLflow login flows: {word}", "work pool pcakd: ready", "deployments: ready"]
        assert done.stdout.splitlines() == lines
    buckets = {bucket["Name"] for bucket in moto_server.client().list_buckets()["Buckets"]}
    assert {"mlflow", "pcakd", "photos"} <= buckets
    # The flows' login makes its own experiment, with an artifact that the server puts into the bucket.
    code = "import mlflow; mlflow.set_experiment('new'); mlflow.start_run(); mlflow.log_text('text', 'a.txt')"
    done = containers.once(sys.executable, "-c", code, environment=containers.client)
    assert done.returncode == 0, done.stderr
    listed = moto_server.client().list_objects_v2(Bucket="mlflow", Prefix="artifacts/")
    assert [entry["Key"].rpartition("/")[2] for entry in listed["Contents"]] == ["a.txt"]


@pytest.mark.slow
def test_a_worker_joins_ray_by_the_token_takes_no_ray_work_and_ends_with_its_node(containers):
    head = containers.start_ray("ray-node.sh", "head", environment={**containers.ray, "RAY_NODE_CPUS": "1"})
    containers.wait("ray-node.sh", head, "ray", containers.client["RAY_ADDRESS"])
    no_token = {**containers.client, "RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": ""}
    words = [sys.executable, "-m", "infra.run.healthy", "ray", containers.client["RAY_ADDRESS"]]
    assert containers.once(*words, environment=no_token).returncode == 1

    environment = containers.client | {"RAY_NODE_FOLDER": str(containers.folder / "w")}
    worker = containers.start_ray("prefect_worker", environment=environment)
    containers.wait("prefect_worker", worker, "worker")
    code = (
        "import ray; from tasks.cluster.attach import ray_cluster\n"
        "with ray_cluster():\n"
        "    print(len([n for n in ray.nodes() if n['Alive']]), ray.cluster_resources()['CPU'],"
        " ray.get(ray.remote(lambda: 'hello').remote()))"
    )
    done = containers.once(sys.executable, "-c", code, environment=containers.client)
    assert done.stdout.splitlines()[-1:] == ["2 1.0 hello"], done.stdout + done.stderr

    raylets(containers)[0].kill()
    assert worker.wait(60) == 1
    assert "Ray node has ended" in containers.log("prefect_worker").read_text()

    worker = containers.start_ray("prefect_worker", environment=environment)
    containers.wait("prefect_worker", worker, "worker")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    assert not raylets(containers)


def raylets(containers: Containers) -> list[psutil.Process]:
    """Those of the worker's Ray node."""
    folder = str(containers.folder / "w")
    return [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] == "raylet" and folder in " ".join(process.info["cmdline"] or ())
    ]
