"""How flow runs end that were started by a worker: by a user's mistake, and cancelled. Real Prefect, Ray and MLflow."""

import re
import time

import psutil
import pytest
from mlflow import MlflowClient

from pcakd.storage import open_storage
from tasks.settings import Settings
from tests.corpus import jpeg
from tests.tasks.bulk import jobs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
BULK = "flows/stylize_bucket.py:stylize_bucket"
ERROR = 40
PHOTOS = 120
WITHIN_S = 30
"""How long a cancelled run takes at most until Prefect calls it cancelled, and MLflow killed."""


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
    # Of the run alone: a busy worker tells of its own connection, too.
    told = [line for line in log().splitlines() if "| ERROR " in line and ("Flow run" in line or "engine" in line)]
    assert len(told) == 1
    assert words in told[0]
    records = deployments.records(run)
    assert not [record for record in records if "Traceback" in record["message"]]
    assert sum(record["level"] >= ERROR for record in records) <= 1


@pytest.mark.alone
def test_a_cancelled_bulk_job_ends_as_cancelled_and_killed_and_keeps_the_rows_of_what_was_finished(
    deployments, tmp_path
):
    (tmp_path / "in").mkdir()
    for number in range(PHOTOS):
        (tmp_path / "in" / f"{number:03}.jpg").write_bytes(jpeg(number % 2, 48, 64))
    parameters = {
        "source": str(tmp_path / "in"),
        "dest": str(tmp_path / "out"),
        "styles": [str(jobs.style(tmp_path))],
        "model": str(jobs.student(tmp_path)),
        "max_rate": "2/s",  # so that it is still at work whenever it is cancelled
    }
    run = deployments.start(BULK, {"parameters": parameters})
    deployments.wait(lambda: list((tmp_path / "out").glob("_pcakd/*/snapshots/*/rows/**/*.parquet")))
    began = time.monotonic()
    deployments.cancel(run)
    settings = Settings.read(workspace=str(deployments.workspace))
    client = MlflowClient(settings.tracking_uri)
    (experiment,) = client.search_experiments(filter_string=f"name = '{settings.experiment}'")

    def statuses() -> list[str]:
        tracked = client.search_runs([experiment.experiment_id], f"tags.`pcakd.flow_run` = '{run}'")
        return [one.info.status for one in tracked]

    deployments.wait(lambda: statuses() == ["KILLED"], WITHIN_S)
    assert time.monotonic() - began < WITHIN_S
    assert deployments.state(run)["type"] == "CANCELLED"
    snapshot = jobs.snapshot_of(open_storage(str(tmp_path / "out")))
    rows = [row for part in range(snapshot.parts) for row in snapshot.rows(part).to_pylist()]
    assert 0 < len(rows) < PHOTOS
    assert all((tmp_path / "out" / row["output"]).is_file() for row in rows if row["status"] == "ok")
    assert not [
        process for process in psutil.process_iter(["cmdline"]) if run in " ".join(process.info["cmdline"] or [])
    ]
