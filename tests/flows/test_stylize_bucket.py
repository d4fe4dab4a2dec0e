"""The bulk job as a flow, with a real Prefect server."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.corpus import good_photos
from tests.servers.processes import ROOT, prefect_server
from tests.tasks.bulk import jobs

pytestmark = pytest.mark.slow

CODE = """
import json, sys
from flows.parameters import BulkStylization
from flows.stylize_bucket import stylize_bucket
print(stylize_bucket(BulkStylization(**json.loads(sys.argv[1])), workspace=sys.argv[2]))
"""


def test_a_flow_run_links_the_report_and_shows_progress_and_counts(tmp_path, ray_cluster):
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
    with prefect_server(tmp_path) as api:
        environment = {"PREFECT_API_URL": api, "PCAKD_HOME": str(tmp_path / "home"), "RAY_ADDRESS": ray_cluster}
        done = subprocess.run(
            [sys.executable, "-c", CODE, json.dumps(parameters), str(tmp_path / "w")],
            cwd=ROOT,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert "{'not-an-image': 1, 'ok': 6}" in done.stdout
        artifacts = latest_artifacts(api)
    (page,) = (tmp_path / "out").rglob("report.html")
    assert page.as_uri() in artifacts["bulk-report"]["data"]
    assert artifacts["stylize-bucket"]["type"] == "progress"
    assert artifacts["stylize-bucket"]["data"] == 100
    counts = json.loads(artifacts["bulk-status"]["data"])
    assert sorted(counts, key=str) == [{"status": "not-an-image", "results": 1}, {"status": "ok", "results": 6}]
    assert Path(str(tmp_path / "out" / "good-0000.jpg")).is_file()


def latest_artifacts(api: str) -> dict[str, dict]:
    """Key → the latest artifact of it."""
    request = urllib.request.Request(
        f"{api}/artifacts/latest/filter", data=b"{}", headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return {artifact["key"]: artifact for artifact in json.load(answer)}
