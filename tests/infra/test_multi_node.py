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
from pcakd.photos.images import read_photo
from pcakd.storage import Storage, open_storage, sha256_hex
from pcakd.storage.parquet import read_parquet
from pcakd.student.checkpoint import Metadata, save_checkpoint
from tasks.registry import champion_of, promote_by_hand
from tasks.registry.resolve import resolve_model
from tasks.settings import Settings
from tests import corpus
from tests.models import random_checkpoint
from tests.pcakd.distillation import parts
from tests.servers.postgres import Postgres
from tests.servers.processes import MlflowServer, end, prefect_server, start, wait_until
from tests.servers.ray_nodes import RayNodes, ray_nodes
from tests.servers.s3 import S3Server

# A node that does not answer for two seconds is dead to the others.
pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(900)]

PHOTOS = 240
TRAIN_WORKER = "RayTrainWorker"
"""In the process title of a worker of Ray Train."""
STEPS = (25, 25, 25, 75)
RECIPE = f"""\
crop = 32
batch = 4
init_photos = 6
pair_steps = {list(STEPS)}
warmup_steps = 2
precision = "fp32"
teacher_photos = 2
graded_photos = 1
validate_every = 150
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
    mlflow = MlflowServer(
        folder,
        database=postgres.url("mlflow"),
        artifacts=f"s3://{bucket}/mlflow",
        MLFLOW_S3_ENDPOINT_URL=ceph.endpoint,
        **ceph.environment(),
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
        fresh = cluster.ray.add("three").wait()
        wait_until(lambda: fresh.processes(TRAIN_WORKER), run, log)
        assert run.wait(500) == 0, log.read_text()[-3000:]
    finally:
        end(run)

    (key,) = found("manifest.json")
    student = workspace.sub(os.path.dirname(key))
    manifest = json.loads(student.read("manifest.json"))
    history = json.loads(student.read("student.losses.json"))["history"]
    assert [row["step"] for row in history] == list(range(1, sum(STEPS) + 1))
    assert all(math.isfinite(row["total"]) for row in history)
    assert champion_of("vgg", settings=cluster.settings) is None  # so few steps make no champion by themselves
    promote_by_hand("pcakd-vgg", 1, why="to look it up", settings=cluster.settings)
    champion = champion_of("vgg", settings=cluster.settings)
    assert champion is not None
    assert champion.digest == manifest["model_digest"]
    registered = Stylizer.load(resolve_model("models:/pcakd-vgg@champion", settings=cluster.settings).path)
    assert registered.digest == manifest["model_digest"]
    assert registered.stylize(corpus.jpeg(1), corpus.jpeg(2)).size == (128, 96)
    assert cluster.completed("distillation-pipeline") == 1
    assert cluster.postgres.rows("mlflow", "SELECT name, version FROM model_versions") == [("pcakd-vgg", 1)]
    assert any(entry.key.endswith(".safetensors") for entry in store.list("mlflow/"))
    told = "SELECT max(step) FROM metrics JOIN runs USING (run_uuid) WHERE name = 'students' AND key = 'loss.total'"
    assert cluster.postgres.rows("mlflow", told) == [(sum(STEPS),)]


def test_a_bulk_job_on_two_nodes_goes_on_when_one_of_them_dies_with_one_row_and_one_whole_result_each(cluster, store):
    photos = corpus.good_photos(PHOTOS, height=240, width=320, start=1000)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda photo: store.write(f"in/{photo.name}", photo.data), photos))
    style, model, log = cluster.folder / "style.jpg", cluster.folder / "student.safetensors", cluster.folder / "bulk"
    style.write_bytes(corpus.jpeg(7))
    checkpoint = random_checkpoint("vgg")
    save_checkpoint(model, checkpoint.student, checkpoint.metadata)
    ray, results = cluster.ray, store.sub("out")
    run = cluster.run(
        "flows.stylize_bucket",
        "stylize_bucket",
        log,
        parameters={"source": store.uri("in"), "dest": results.uri(), "styles": [str(style)], "model": str(model)},
    )
    try:

        def at_work() -> list[str]:
            """Nodes whose results are recorded."""
            pids = {_pid(row) for row in _rows(results, "/rows/")}
            return [name for name in ray.alive() if pids & {process.pid for process in ray.nodes[name].processes()}]

        wait_until(at_work, run, log)
        victim = ray.nodes[at_work()[0]]
        lost = {process.pid for process in victim.processes()}
        victim.kill()
        assert not _rows(results, "/final/")
        ray.add("four").wait()
        assert run.wait(500) == 0, log.read_text()[-3000:]
    finally:
        end(run)

    rows = _rows(results, "/final/")
    assert [row["key"] for row in rows] == sorted(photo.name for photo in photos)
    assert {row["status"] for row in rows} == {"ok"}
    assert {_pid(row) for row in _rows(results, "/rows/")} - lost, "the other nodes did nothing"
    assert {entry.key for entry in results.list() if not entry.key.startswith("_pcakd/")} == {
        row["output"] for row in rows
    }
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda row: results.read(row["output"]), rows))
    assert [sha256_hex(data) for data in made] == [row["sha256"] for row in rows]
    assert {read_photo(data).size for data in made} == {(240, 320)}
    assert cluster.completed("stylize-bucket") == 1


def _rows(results: Storage, folder: str) -> list[dict]:
    """Rows of the ledger that lie in the folders of this name."""
    keys = [entry.key for entry in results.list("_pcakd/") if folder in entry.key]
    return [row for key in keys for row in read_parquet(results, key).to_pylist()]


def _pid(row: dict) -> int:
    return int(row["worker"].rpartition(":")[2])
