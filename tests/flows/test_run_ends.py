"""How flow runs end that were started by a worker: by a user's mistake, and cancelled. Real Prefect, Ray and MLflow."""

import re
from dataclasses import replace

import psutil
import pytest
from mlflow import MlflowClient

from pcakd.storage import open_storage
from tasks.settings import Settings
from tasks.tracking import send_leftovers
from tests.corpus import jpeg
from tests.tasks.bulk import jobs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
BULK = "flows/stylize_bucket.py:stylize_bucket"
ERROR = 40


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"source": "/nowhere/photos"}, "/nowhere/photos"),
        ({"source": "/nowhere/photos", "strength": 3.0}, "strength"),
    ],
)
def test_a_users_mistake_is_one_error_line_and_the_states_message(deployments, tmp_path, parameters, words):
    parameters |= {"dest": str(tmp_path / "out"), "styles": [str(jobs.style(tmp_path))], "model": "vgg"}
    before = len(deployments.log.read_text())

    def log() -> str:
        return deployments.log.read_text()[before:]

    run = deployments.start(BULK, {"parameters": parameters})
    state = deployments.ended(run)
    assert state["type"] == "FAILED"
    assert words in state["message"]
    deployments.wait(lambda: re.search(r"Finished in state Failed\('(Flow run|Validation)", log()))
    told = [line for line in log().splitlines() if "| ERROR " in line]
    assert len(told) == 1
    assert words in told[0]
    assert "Traceback" not in log()
    assert sum(record["level"] >= ERROR for record in deployments.records(run)) <= 1


def test_a_cancelled_bulk_job_ends_within_30_s_and_keeps_the_rows_of_what_was_finished(deployments, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(400):
        (tmp_path / "in" / f"{number:03}.jpg").write_bytes(jpeg(number % 2, 900, 1200))
    parameters = {
        "source": str(tmp_path / "in"),
        "dest": str(tmp_path / "out"),
        "styles": [str(jobs.style(tmp_path))],
        "model": str(jobs.student(tmp_path)),
    }
    run = deployments.start(BULK, {"parameters": parameters})
    deployments.wait(lambda: list((tmp_path / "out").glob("_pcakd/*/snapshots/*/rows/**/*.parquet")))
    seconds = deployments.cancel(run)
    assert deployments.state(run)["type"] == "CANCELLED"
    assert seconds < 30
    snapshot = jobs.snapshot_of(open_storage(str(tmp_path / "out")))
    rows = [row for part in range(snapshot.parts) for row in snapshot.rows(part).to_pylist()]
    assert 0 < len(rows) < 400
    assert all((tmp_path / "out" / row["output"]).is_file() for row in rows if row["status"] == "ok")
    settings = replace(Settings.read(workspace=str(deployments.workspace)), home=deployments.folder / "home")
    send_leftovers(settings)  # as the next run does, where the time was too short for this one to tell MLflow itself
    client = MlflowClient(settings.tracking_uri)
    experiment = client.get_experiment_by_name(settings.experiment)
    tracked = client.search_runs([experiment.experiment_id], f"tags.`pcakd.flow_run` = '{run}'")
    assert [one.info.status for one in tracked] == ["KILLED"]
    assert not [
        process for process in psutil.process_iter(["cmdline"]) if run in " ".join(process.info["cmdline"] or [])
    ]
