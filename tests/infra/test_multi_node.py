"""The flows on several Ray nodes, with PostgreSQL behind Prefect and MLflow and everything on S3; nodes die midway."""

import json
import math
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from pcakd import Stylizer
from pcakd.checkpoint import Metadata, save_checkpoint
from pcakd.storage import open_storage
from tasks.registry import champion_of
from tasks.registry.resolve import resolve_model
from tasks.settings import Settings
from tests import corpus
from tests.pcakd.distillation import parts
from tests.servers.postgres import Postgres
from tests.servers.processes import MlflowServer, end, prefect_server, start, wait_until
from tests.servers.ray_nodes import RayNodes, ray_nodes
from tests.servers.s3 import S3Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TRAIN_WORKER = "RayTrainWorker"
"""In the process title of a worker of Ray Train."""
STEPS = (50, 50, 50, 250)
RECIPE = f"""\
crop = 32
batch = 4
init_photos = 6
pair_steps = {list(STEPS)}
warmup_steps = 2
precision = "fp32"
teacher_photos = 2
graded_photos = 1
validate_every = 200
validation_photos = 2
checkpoint_every = 25
"""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Everything that a company would run: services, nodes, a bucket."""

    folder: Path
    """For logs and what a user has on disk."""
    bucket: str
    """On the S3 server."""
    environment: dict[str, str]
    """Of whoever runs a flow."""
    postgres: Postgres
    ray: RayNodes

    @property
    def settings(self) -> Settings:
        """Of whoever looks a model up."""
        uri = self.environment["MLFLOW_TRACKING_URI"]
        workspace = f"s3://{self.bucket}/workspace"
        return Settings(home=self.folder / "lookup", workspace=workspace, tracking_uri=uri, experiment="pcakd")

    def run(self, module: str, flow: str, log: Path, **parameters: object) -> subprocess.Popen:
        """Start a flow run in a process of its own."""
        file = log.with_suffix(".json")
        file.write_text(json.dumps(parameters))
        return start(["tests.infra.flow_run", module, flow, str(file)], log, **self.environment)

    def completed(self, flow: str) -> int:
        """Runs of a flow that ended well, as Prefect's database has it."""
        query = "SELECT count(*) FROM flow_run JOIN flow ON flow.id = flow_id WHERE state_type = 'COMPLETED'"
        return self.postgres.rows("prefect", f"{query} AND flow.name = '{flow}'")[0][0]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, postgres: Postgres, ceph: S3Server) -> Iterator[Cluster]:
    """Prefect and MLflow on PostgreSQL, artifacts on S3, Ray nodes "one" and "two" beside a head without CPUs."""
    folder, bucket = tmp_path_factory.mktemp("cluster"), ceph.new_bucket()
    for name in ("prefect", "mlflow"):
        postgres.new_database(name)
    # boto3, which MLflow's server uses as it is, would send checksums that this S3 server does not know.
    storage = ceph.environment() | {"AWS_REQUEST_CHECKSUM_CALCULATION": "when_required"}
    mlflow = MlflowServer(
        folder,
        database=postgres.url("mlflow"),
        artifacts=f"s3://{bucket}/mlflow",
        MLFLOW_S3_ENDPOINT_URL=ceph.endpoint,
        **storage,
    )
    environment = {**ceph.environment(), "OMP_NUM_THREADS": "1"}
    with ExitStack() as stack, ThreadPoolExecutor() as threads:
        stack.callback(mlflow.stop)
        # Each takes ten seconds, most of them waiting.
        ray = threads.submit(_entered, ray_nodes(folder, ["one", "two"], **environment), stack)
        prefect = threads.submit(_entered, prefect_server(folder, postgres.url("prefect", "asyncpg")), stack)
        mlflow.start()
        environment |= {
            "PREFECT_API_URL": prefect.result(),
            "MLFLOW_TRACKING_URI": mlflow.uri,
            "RAY_ADDRESS": ray.result().address,
            "PCAKD_HOME": str(folder / "home"),
        }
        yield Cluster(folder=folder, bucket=bucket, environment=environment, postgres=postgres, ray=ray.result())


def _entered(manager, stack: ExitStack):
    return stack.enter_context(manager)


@pytest.fixture
def store(cluster: Cluster, monkeypatch):
    """The bucket, for this process."""
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    return open_storage(f"s3://{cluster.bucket}")


def test_a_distillation_on_two_nodes_goes_on_when_one_of_them_dies_and_registers_its_student(cluster, store):
    for photo in corpus.good_photos(24, height=96, width=128):
        store.write(f"photos/{photo.name}", photo.data)
    teacher, recipe, log = cluster.folder / "teacher.safetensors", cluster.folder / "recipe.toml", cluster.folder / "p"
    source = parts.teacher().student
    save_checkpoint(teacher, source, Metadata(spec=source.spec))
    recipe.write_text(RECIPE)
    run = cluster.run(
        "flows.distillation_pipeline",
        "distillation_pipeline",
        log,
        sharding={"source": store.uri("photos"), "shortest_side": 96, "val_fraction": 0.25},
        teacher=str(teacher),
        eigenbases={"crop": 64, "channels": parts.CHANNELS},
        distillation={"recipe": str(recipe), "workers": 2, "device": "cpu"},
        evaluation={"limit": 2, "size": 64},
        workspace=store.uri("workspace"),
    )
    try:
        workspace, nodes = store.sub("workspace"), cluster.ray.nodes

        def found(name: str) -> list[str]:
            return [entry.key for entry in workspace.list("students/") if entry.key.endswith(name)]

        wait_until(lambda: found("student.state.pt"), run, log)
        assert [len(nodes[name].processes(TRAIN_WORKER)) for name in ("one", "two")] == [1, 1]
        nodes["two"].kill()
        assert not found("manifest.json")
        third = cluster.ray.add("three").wait()
        wait_until(lambda: third.processes(TRAIN_WORKER), run, log)
        assert run.wait(300) == 0, log.read_text()[-3000:]
    finally:
        end(run)

    (key,) = found("manifest.json")
    student = workspace.sub(os.path.dirname(key))
    manifest = json.loads(student.read("manifest.json"))
    history = json.loads(student.read("student.losses.json"))["history"]
    assert [row["step"] for row in history] == list(range(1, sum(STEPS) + 1))
    assert all(math.isfinite(row["total"]) for row in history)
    champion = champion_of("vgg", settings=cluster.settings)
    assert champion.digest == manifest["model_digest"]
    registered = Stylizer.load(resolve_model("models:/pcakd-vgg@champion", settings=cluster.settings).path)
    assert registered.digest == manifest["model_digest"]
    assert registered.stylize(corpus.jpeg(1), corpus.jpeg(2)).size == (128, 96)
    assert cluster.completed("distillation-pipeline") == 1
    assert cluster.postgres.rows("mlflow", "SELECT name, version FROM model_versions") == [("pcakd-vgg", 1)]
    assert any(entry.key.endswith(".safetensors") for entry in store.list("mlflow/"))
