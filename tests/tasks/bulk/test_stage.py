"""The bulk job as a stage: on a real Ray, tracked by a real MLflow, its report opened in a real browser."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from pcakd.errors import FatalError
from pcakd.storage import open_storage
from tasks.bulk.stage import stylize_stage
from tasks.settings import Settings
from tasks.stages.session import open_session
from tests.assets.places import missing
from tests.corpus import bad_photos, good_photos, jpeg, odd_photos
from tests.pcakd.bulk.report.looked_at import check_in_browser
from tests.servers.browser import browser, served, why_not
from tests.tasks.bulk import jobs

pytestmark = pytest.mark.slow


class Stage:
    """Bulk jobs over one source, in one workspace."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.dest = folder, folder / "out"
        (folder / "in" / "sub").mkdir(parents=True)
        (folder / "rain.jpg").write_bytes(jpeg(1002))
        self.options = {
            "source": str(folder / "in"),
            "dest": str(self.dest),
            "styles": [str(jobs.style(folder)), str(folder / "rain.jpg")],
            "model": str(jobs.student(folder)),
        }

    def put(self, *samples) -> None:
        for sample in samples:
            (self.folder / "in" / sample.name).write_bytes(sample.data)

    def run(self, **changes):
        with open_session("stylize-bucket", workspace=str(self.folder / "w")) as session:
            return stylize_stage.fn(session, **self.options | changes)

    def tracked(self) -> list[Run]:
        """MLflow's runs of the stage, the latest first."""
        settings = Settings.read(workspace=str(self.folder / "w"))
        self.client = MlflowClient(settings.tracking_uri)
        experiment = self.client.get_experiment_by_name(settings.experiment)
        assert experiment is not None
        runs = self.client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])
        return [
            run for run in runs if run.data.tags["mlflow.runName"] == "stylize-bucket" and "source" in run.data.params
        ]

    def artifact(self, run: Run, name: str) -> bytes:
        return Path(self.client.download_artifacts(run.info.run_id, name, str(self.folder))).read_bytes()


@pytest.fixture
def stage(tmp_path, monkeypatch) -> Stage:
    monkeypatch.setenv("PCAKD_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Stage(tmp_path)


def test_a_jobs_report_is_in_mlflow_and_says_in_a_browser_what_the_rows_say(stage, ray_cluster):
    if reason := why_not():
        missing(reason)
    stage.put(*good_photos(20), *odd_photos(), *bad_photos())
    hostile = "<b>&amp;\"'%41 #?\u202egpj\n.jpg"
    (stage.folder / "in" / "sub" / hostile).write_bytes(jpeg(77))
    report = stage.run()
    dest = open_storage(stage.dest)
    snapshot = jobs.snapshot_of(dest)
    rows = pa.concat_tables([snapshot.final(part) for part in range(snapshot.parts)])
    assert len(rows) == report.totals.items == 2 * (20 + len(odd_photos()) + len(bad_photos()) + 1)
    (run,) = stage.tracked()
    assert run.info.status == "FINISHED"
    assert stage.artifact(run, "report.html") == Path(report.page).read_bytes()
    assert json.loads(stage.artifact(run, "report.json"))["totals"]["status"] == report.status
    assert stage.artifact(run, "failed.csv") == Path(report.page).with_name("failed.csv").read_bytes()
    metrics = run.data.metrics
    assert {name: metrics[f"status.{name}"] for name in report.status} == report.status
    assert (metrics["done"], metrics["failed"]) == (report.totals.items, report.failed)
    with served(stage.dest) as address, browser() as page:
        check_in_browser(page, f"{address}/{Path(report.page).relative_to(stage.dest)}", rows, report.totals.items)

    again = stage.run()
    assert again.reused
    latest, _ = stage.tracked()
    assert latest.data.tags["pcakd.outcome"] == "reused"
    assert stage.artifact(latest, "report.html") == Path(report.page).read_bytes()


def test_a_job_over_its_failure_threshold_is_not_tried_again_and_its_report_is_in_mlflow(stage, ray_cluster):
    for number in range(60):
        (stage.folder / "in" / f"{number:02}.jpg").write_bytes(b"no photo")
    stage.put(*good_photos(60))
    with pytest.raises(FatalError, match="items failed"):
        stage.run(max_failed=3)
    (run,) = stage.tracked()
    assert run.info.status == "FAILED"
    numbers = json.loads(stage.artifact(run, "report.json"))
    assert "items failed" in numbers["stopped"]
    assert sum(numbers["totals"]["status"].values()) == numbers["totals"]["items"] == 240
    assert b"The run stopped before the job was finished" in stage.artifact(run, "report.html")
