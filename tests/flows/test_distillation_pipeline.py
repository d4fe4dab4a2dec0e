"""The pipeline under kills, twice at once, and with MLflow away; real Prefect, Ray and MLflow."""

import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pcakd.storage import open_storage
from tasks.registry import champion_of
from tasks.registry.names import CHAMPION_EVENT
from tasks.registry.versions import logged_model_of
from tests.flows.pipelines import EASY, Pipeline
from tests.servers.prefect_runs import Deployments
from tests.servers.processes import MlflowServer, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
STAGES = ("shards", "eigenbases", "students", "evaluations")


def test_killed_at_every_stage_boundary_and_in_training_it_goes_on_and_registers_one_version(
    tmp_path, prefect, ray_cluster, assets
):
    pipeline = Pipeline(tmp_path, prefect, ray_cluster, assets, steps=60)
    written: dict[str, tuple] = {}

    def finished(stage: str) -> list[Path]:
        return pipeline.files(f"{stage}/*/manifest.json")

    def snapshot() -> None:
        for stage in STAGES:
            for path in finished(stage):
                stamp = (path, path.stat().st_mtime_ns, path.read_bytes())
                assert written.setdefault(stage, stamp) == stamp, f"{stage} was made again"

    pipeline.kill_when(lambda: finished("shards"))
    snapshot()
    pipeline.kill_when(lambda: finished("eigenbases"))
    snapshot()
    pipeline.kill_when(lambda: pipeline.files("students/*/student.state.pt"))
    assert not finished("students")
    pipeline.kill_when(lambda: finished("students"))
    snapshot()
    pipeline.kill_when(lambda: finished("evaluations"))
    snapshot()
    pipeline.run()
    snapshot()
    pipeline.run()
    snapshot()
    assert set(written) == set(STAGES)
    outcomes = pipeline.outcomes()
    for stage in STAGES:
        assert outcomes[stage, "made"] <= 1, outcomes
        assert outcomes[stage, "reused"] >= 2, outcomes
    assert outcomes["registration", "made"] == 1
    assert len(pipeline.versions()) == 1
    assert champion_of("mobilenet", settings=pipeline.settings) is None
    assert "misses a floor: across " in pipeline.versions()[0].description  # so few steps make no champion


def test_two_runs_at_once_both_end_well_every_stage_is_made_once_and_the_server_hears_of_one_new_champion(
    tmp_path, prefect, ray_cluster, assets
):
    pipeline = Pipeline(tmp_path, prefect, ray_cluster, assets, registration=EASY)
    began = datetime.now(UTC)
    runs = [pipeline.start(), pipeline.start()]
    for process in runs:
        assert process.wait(900) == 0, pipeline.log.read_text()[-3000:]
    outcomes = pipeline.outcomes()
    for stage in STAGES:
        assert (outcomes[stage, "made"], outcomes[stage, "reused"]) == (1, 1), outcomes
        assert len(pipeline.files(f"{stage}/*/manifest.json")) == 1
    assert len(pipeline.versions()) == 1
    champion = champion_of("mobilenet", settings=pipeline.settings)
    assert champion is not None
    (told,) = champions_told(Deployments(prefect, tmp_path), began)
    assert told["payload"] == {"model": champion.uri, "version": 1, "reason": told["payload"]["reason"]}
    assert told["payload"]["reason"]
    roles = {one["prefect.resource.role"]: one["prefect.resource.id"] for one in told["related"]}
    assert roles["flow-run"].startswith("prefect.flow-run.")


def champions_told(server: Deployments, began: datetime) -> list[dict]:
    """The events of new champions since then that reached the server, as soon as one is there: it writes them down a
    little later than it takes them."""
    asked = {
        "event": {"name": [CHAMPION_EVENT]},
        "resource": {"id": ["pcakd.model.pcakd-mobilenet"]},
        "occurred": {"since": began.isoformat()},
    }
    deadline = time.monotonic() + 300  # as long as other waits for the server: a busy one is minutes behind
    while not (found := server.post("events/filter", {"filter": asked})["events"]):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def test_mlflow_stopped_in_training_costs_neither_metrics_nor_model(tmp_path, prefect, ray_cluster, assets):
    server = MlflowServer(tmp_path)
    server.start()
    try:
        pipeline = Pipeline(tmp_path, prefect, ray_cluster, assets, tracking_uri=server.uri, steps=60)
        process = pipeline.start()
        wait_until(lambda: pipeline.files("students/*/student.state.pt"), process, pipeline.log)
        server.stop()
        wait_until(lambda: pipeline.files("students/*/manifest.json"), process, pipeline.log)
        time.sleep(5)
        server.start()
        assert process.wait(900) == 0, pipeline.log.read_text()[-3000:]
        client = MlflowClient(server.uri)
        experiment = client.get_experiment_by_name("pcakd")
        runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
        steps = {metric.step for metric in client.get_metric_history(runs["students"].info.run_id, "loss.total")}
        assert max(steps) == 72
        pairs = [name for name in runs if name.startswith("pair ")]
        assert len(pairs) == 4  # a run for each, made while it was trained
        (used,) = runs["students"].inputs.dataset_inputs
        manifest = json.loads(pipeline.files("shards/*/manifest.json")[0].read_text())
        assert used.dataset.digest == manifest["digest"][:36]
        assert json.loads(used.dataset.profile)["generation"] == manifest["generation"]
        assert runs["students"].data.params["recipe.crop"] == "64"
        assert "does not answer" in pipeline.log.read_text()
        (whole,) = [run for run in runs.values() if run.data.tags.get("pcakd.flow") == "distillation-pipeline"]
        assert re.fullmatch(r"mobilenet \d{4}-\d\d-\d\d, \d+ photos", whole.info.run_name)
        tags = whole.data.tags
        assert f"flow run '{tags['pcakd.flow_run_name']}'" in pipeline.log.read_text().lower()
        (version,) = client.search_model_versions("name = 'pcakd-mobilenet'")
        manifest = json.loads(pipeline.files("students/*/manifest.json")[0].read_text())
        assert version.tags["pcakd.digest"] == manifest["model_digest"]
        assert "distilled from mobilenet-v1 on " in version.description
        scored = {metric.key: metric.value for metric in client.get_logged_model(logged_model_of(version)).metrics}
        assert scored["own.across.psnr"] == pytest.approx(float(version.tags["pcakd.metric.own.across.psnr"]), abs=1e-5)
        assert open_storage(pipeline.files("students/*")[0]).exists(manifest["model"])
    finally:
        server.stop()
