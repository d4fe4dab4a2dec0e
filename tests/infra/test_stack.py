"""`make up`, a deployment's scheduled run through its worker, `make down`."""

import asyncio
import io
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pcakd import Stylizer
from tasks.registry import champion_of, promote_by_hand
from tasks.registry.resolve import resolve_model
from tasks.registry.versions import use_store
from tasks.settings import QUIET, Settings
from tests.flows.small import parameters
from tests.pcakd.ui.page import ask, token_of
from tests.servers.processes import ROOT, free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture
def stack(tmp_path, assets):
    """Runs `python -m infra.stack` with its own ports and folder; down at the end whatever happens."""
    environment = {
        **os.environ,
        **QUIET,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PCAKD_STACK_DATA": str(tmp_path / "stack"),
        "PCAKD_PREFECT_PORT": str(free_port()),
        "PCAKD_MLFLOW_PORT": str(free_port()),
        "PCAKD_RAY_PORT": str(free_port()),
        "PCAKD_UI_PORT": str(free_port()),
        "PCAKD_NUM_CPUS": "2",
        "PCAKD_PHOTOS": str(assets / "photos_small"),
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "OMP_NUM_THREADS": "1",
    }

    def call(word: str) -> str:
        words = [sys.executable, "-m", "infra.stack", word]
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        logs = "".join(path.read_text()[-1500:] for path in (tmp_path / "stack" / "logs").glob("*.log"))
        assert done.returncode == 0, done.stderr + logs
        return done.stdout

    try:
        yield call, environment
    finally:
        call("down")


def test_a_scheduled_run_through_the_worker_ends_with_a_student_that_predicts_like_the_library(stack, tmp_path, assets):
    call, environment = stack
    assert "worker: up" in call("up")
    again = call("up")
    assert again.count("was up already") == 5
    tracking = f"http://127.0.0.1:{environment['PCAKD_MLFLOW_PORT']}"
    api = f"http://127.0.0.1:{environment['PCAKD_PREFECT_PORT']}/api"

    state = asyncio.run(scheduled_run(api, parameters(assets, tmp_path)))
    assert state == "COMPLETED", (tmp_path / "stack" / "logs" / "worker.log").read_text()[-3000:]

    settings = Settings(home=tmp_path / "h", workspace=str(tmp_path), tracking_uri=tracking, experiment="pcakd")
    assert champion_of("mobilenet", settings=settings) is None  # so few steps make no champion by themselves
    promote_by_hand("pcakd-mobilenet", 1, why="to serve it", settings=settings)
    assert champion_of("mobilenet", settings=settings).version == 1
    use_store(settings)
    content, style = (sorted((assets / "photos_small").glob("*.jpg"))[i].read_bytes() for i in (0, 1))
    model = mlflow.pyfunc.load_model("models:/pcakd-mobilenet@champion")
    frame = pd.DataFrame({"content": [content], "style": [style]})
    image = model.predict(frame, params={"format": "PNG"})["image"][0]
    located = resolve_model("models:/pcakd-mobilenet@champion", settings=settings)
    expected = Stylizer.load(located.path).stylize(content, style)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(image))), np.asarray(expected))

    check_page(environment, tmp_path, content, style, "models:/pcakd-mobilenet@champion")

    assert call("down").count("stopped") == 5
    assert call("down").count("was not up") == 5


def check_page(environment: dict, folder: Path, content: bytes, style: bytes, model: str) -> None:
    """The stack's page starts a bulk job that its worker carries out, and keeps votes on two models in its MLflow."""
    address = f"http://127.0.0.1:{environment['PCAKD_UI_PORT']}"
    token = token_of(address)

    def post(path: str, body: bytes | dict) -> dict:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, answer = ask(address, path, data, x_pcakd_page=token)
        assert status == 200, answer
        return json.loads(answer)

    photos = [post(f"/api/photos?name={name}.jpg", data)["id"] for name, data in (("street", content), ("dusk", style))]
    setting = {"contents": photos[:1], "styles": photos[1:], "model": model}
    (folder / "album").mkdir()
    (folder / "album" / "street.jpg").write_bytes(content)
    started = post("/api/bulk", setting | {"source": str(folder / "album"), "dest": str(folder / "stylized")})
    api = f"http://127.0.0.1:{environment['PCAKD_PREFECT_PORT']}"
    assert started["link"].startswith(f"{api}/runs/flow-run/")
    assert asyncio.run(end_of_run(f"{api}/api", started["link"].rpartition("/")[2])) == "COMPLETED"
    with Image.open(folder / "stylized" / "street.jpg") as result, Image.open(io.BytesIO(content)) as source:
        assert result.size == source.size

    pair = post("/api/compare", setting | {"first": model, "second": "vgg", "blind": True})
    told = post("/api/vote", {"voter": "ada", "pair": pair["pair"], "choice": "left"})
    assert sorted(told["models"]) == sorted([model, "vgg"])
    saved = post("/api/votes/save", {"voter": "ada"})
    run = saved["name"].split()[1]
    tracking = f"http://127.0.0.1:{environment['PCAKD_MLFLOW_PORT']}"
    assert saved["link"].startswith(tracking)
    mlflow.set_tracking_uri(tracking)
    client = mlflow.MlflowClient()
    table = client.load_table(client.get_run(run).info.experiment_id, "votes.json", run_ids=[run])
    [vote] = table.to_dict("records")
    assert (vote["content"], vote["style"], vote["preferred"]) == ("street.jpg", "dusk.jpg", told["models"][0])


async def end_of_run(api: str, run: str) -> str:
    """The state that a flow run ends in."""
    from prefect.client.orchestration import PrefectClient

    deadline = time.monotonic() + 600
    async with PrefectClient(api=api) as client:
        while not (state := (await client.read_flow_run(run)).state) or not state.is_final():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.5)
        return state.type.value


async def scheduled_run(api: str, values: dict) -> str:
    """Give the weekly deployment a schedule that is due in a moment; the state that its run ends in."""
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
    from prefect.client.schemas.schedules import IntervalSchedule

    async with PrefectClient(api=api) as client:
        deployment = await client.read_deployment_by_name("distillation-pipeline/weekly")
        assert deployment.schedules[0].schedule.cron == "0 3 * * 0"
        await client.update_deployment(
            deployment.id, deployment=_update(parameters=values, enforce_parameter_schema=True)
        )
        # A machine too busy to hear of it in time has it ten minutes later.
        soon = IntervalSchedule(interval=timedelta(minutes=10), anchor_date=datetime.now(UTC) + timedelta(seconds=5))
        await client.create_deployment_schedules(deployment.id, [(soon, True)])
        mine = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]))
        deadline = time.monotonic() + 900
        while time.monotonic() < deadline:
            runs = await client.read_flow_runs(flow_run_filter=mine)
            started = [run for run in runs if run.state.is_final()]
            if started:
                assert started[0].auto_scheduled
                return started[0].state.type.value
            await asyncio.sleep(2)
    return "not finished"


def _update(**fields):
    from prefect.client.schemas.actions import DeploymentUpdate

    return DeploymentUpdate(**fields)
