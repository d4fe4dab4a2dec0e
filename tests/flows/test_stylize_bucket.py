"""The bulk job as a flow, with a real Prefect server and worker."""

import json
from pathlib import Path

import pytest

from tests.corpus import good_photos
from tests.tasks.bulk import jobs

pytestmark = pytest.mark.slow


def test_a_flow_run_shows_the_report_with_pictures_and_progress_and_counts(tmp_path, deployments):
    (tmp_path / "in").mkdir()
    for sample in good_photos(6):
        (tmp_path / "in" / sample.name).write_bytes(sample.data)
    (tmp_path / "in" / "bad.jpg").write_bytes(b"no photo")
    parameters = {
        "source": str(tmp_path / "in"),
        "dest": str(tmp_path / "out"),
        "styles": [str(jobs.style(tmp_path))],
        "model": str(jobs.student(tmp_path)),
    }
    run = deployments.start("flows/stylize_bucket.py:stylize_bucket", {"parameters": parameters})
    assert deployments.ended(run)["type"] == "COMPLETED"
    artifacts = deployments.artifacts(run)
    (page,) = (tmp_path / "out").rglob("report.html")
    shown = artifacts["bulk-report"]["data"]
    assert "6 of 7 photos made, 1 failed" in shown
    assert shown.count("](data:image/jpeg;base64,") == 6  # three photos, before and after
    assert str(page) in shown
    # Neither opens from another machine.
    assert not any(scheme in json.dumps(artifacts) for scheme in ("file://", "](s3://"))
    assert artifacts["stylize-bucket"]["type"] == "progress"
    assert artifacts["stylize-bucket"]["data"] == 100
    counts = json.loads(artifacts["bulk-status"]["data"])
    assert sorted(counts, key=str) == [{"status": "not-an-image", "results": 1}, {"status": "ok", "results": 6}]
    assert Path(str(tmp_path / "out" / "good-0000.jpg")).is_file()
