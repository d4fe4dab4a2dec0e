"""A shadow run of two registered versions: real Ray, MLflow and browser."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tasks.registry import promote_by_hand, register
from tasks.registry.shadow import shadow_stage, too_different
from tasks.settings import Settings
from tasks.stages.session import open_session
from tests.assets.places import missing
from tests.command import pcakd
from tests.corpus import jpeg
from tests.pcakd.bulk.report.looked_at import CONTRAST
from tests.servers.browser import browser, served, why_not
from tests.tasks.registry.test_registry import student

pytestmark = pytest.mark.slow


def test_two_versions_side_by_side_are_a_page_in_the_workspace_and_in_mlflow(
    tmp_path, tmp_path_factory, monkeypatch, ray_cluster
):
    if reason := why_not():
        missing(reason)
    monkeypatch.setenv("PCAKD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PCAKD_WORKSPACE", str(tmp_path / "w"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    settings = Settings.read()
    first, second = (register(student(seed), settings=settings) for seed in (1, 2))
    promote_by_hand(first.name, first.version, settings=settings)
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(12):
        (photos / f"{number:02}.jpg").write_bytes(jpeg(number))
    (photos / "bad.jpg").write_bytes(b"no photo")
    (tmp_path / "evening.jpg").write_bytes(jpeg(1001))

    words = ["registry", "shadow", "pcakd-vgg@challenger", "--source", photos, "--style", tmp_path / "evening.jpg"]
    done = pcakd(*words, "--out", tmp_path / "page.html", RAY_ADDRESS=ray_cluster)
    assert done.returncode == 3, done.stderr  # one photo failed
    assert "pcakd-vgg: version 2 beside version 1" in done.stdout
    assert "1 not-an-image" in done.stdout

    with open_session("again") as session:
        found = shadow_stage.fn(
            session, challenger=second.uri, source=str(photos), styles=(str(tmp_path / "evening.jpg"),)
        )
    assert found.reused  # the same versions, photos and styles
    numbers = json.loads((tmp_path / "w" / "shadows" / found.key / "shadow.json").read_text())
    differences = [case["difference"] for case in numbers["cases"] if case["status"] == "ok"]
    assert len(differences) == 12
    assert differences == sorted(differences, reverse=True)
    assert (numbers["champion"]["digest"], numbers["challenger"]["digest"]) == (first.digest, second.digest)
    assert too_different(found.manifest, 0.01).startswith("differs from the champion by ")
    assert too_different(found.manifest, 99) == too_different(found.manifest, None) == ""

    client = MlflowClient(settings.tracking_uri)
    experiment = client.get_experiment_by_name(settings.experiment)
    runs = client.search_runs([experiment.experiment_id], "tags.`mlflow.runName` = 'shadows'")
    told = [run.data.metrics["difference.worst"] for run in runs]
    assert told == pytest.approx([differences[0]] * 2, abs=1e-6)
    assert {run.data.tags["pcakd.challenger"] for run in runs} == {"models:/pcakd-vgg/2"}
    kept = client.download_artifacts(runs[0].info.run_id, "shadow.html", str(tmp_path_factory.mktemp("kept")))
    assert Path(kept).read_text() == (tmp_path / "page.html").read_text()

    with served(tmp_path) as address, browser() as shown:
        for dark in (False, True):
            shown.emulate(dark=dark)
            shown.open(f"{address}/page.html")
            assert shown.complaints == []
            assert shown.evaluate(CONTRAST) == []
        widths = shown.evaluate("[...document.images].map(image => image.naturalWidth)")
        assert len(widths) == 36
        assert min(widths) > 0
