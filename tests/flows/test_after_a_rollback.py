"""Who is champion after a person has rolled back and the weekly flow goes on; real Prefect, Ray and MLflow."""

import shutil

import pytest
from mlflow import MlflowClient

from tasks.registry import champion_of
from tests.command import pcakd
from tests.flows.pipelines import EASY, Pipeline
from tests.flows.small import parameters

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
WEEKLY = {"drift": {"train": "if-worth", "start": "auto"}}
"""What the deployment `weekly` has beside source and teacher."""
EASY_GATE = EASY | {"tolerance": 0.05}
SHORT, LONG = {"steps": 12, "init": "random"}, {"steps": 60, "init": "random"}
BETTER = {"steps": 60, "init": "teacher"}
"""Recipes; four steps come first for each of the other three block pairs."""


def test_the_champion_is_the_one_that_a_person_would_expect(tmp_path, prefect, ray_cluster, assets):
    pipeline = Pipeline(tmp_path, prefect, ray_cluster, assets)
    photos = tmp_path / "photos"
    photos.mkdir()
    given = sorted((assets / "photos_small").glob("*.jpg"))
    for path in given[:12]:
        shutil.copy(path, photos)

    def week(recipe: dict, **rest: object) -> dict:
        found = parameters(assets, tmp_path, **recipe)
        found["sharding"] |= {"source": str(photos), "limit": None}
        return found | {"registration": EASY_GATE} | rest

    def champion() -> int:
        found = champion_of("mobilenet", settings=pipeline.settings)
        return found.version if found else 0

    def reasons() -> list[str]:
        """What the gate said in each run that got as far, the first one first."""
        client = MlflowClient(pipeline.settings.tracking_uri, pipeline.settings.tracking_uri)
        experiment = client.get_experiment_by_name("pcakd").experiment_id
        runs = client.search_runs([experiment], "attributes.run_name = 'registration'", order_by=["start_time"])
        return [run.data.tags["pcakd.reason"] for run in runs]

    # A student of 24 steps is no champion, not even where there is none; with floors that let it pass, another follows.
    pipeline.run(week(SHORT, registration=None), week(SHORT), week(LONG))
    floor, first, second = reasons()
    assert floor.startswith("misses a floor: across ")
    assert "reconstruction" in floor
    assert "there is no champion yet" in first
    assert champion() == 2, second

    words = ("registry", "rollback", "pcakd-mobilenet", "--why", "green skies")
    done = pcakd(*words, MLFLOW_TRACKING_URI=pipeline.settings.tracking_uri)
    assert done.returncode == 0, done.stderr
    assert champion() == 1

    # Nothing new: neither as the weekly deployment has it, nor where it trains in any case.
    pipeline.run(week(LONG, **WEEKLY), week(LONG))
    assert champion() == 1
    assert "green skies" in reasons()[-1]

    # New photos and the same recipe make about the same student, which is not taken for news; a better one is.
    for path in given[12:20]:
        shutil.copy(path, photos)
    pipeline.run(week(LONG), week(BETTER))
    assert "version 2 was rolled back from" in reasons()[-2]
    assert champion() == 4, reasons()[-1]
