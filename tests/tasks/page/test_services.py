"""What the page asks of the pipeline: votes in MLflow, models of its registry, jobs of Prefect."""

import json

import pytest

from pcakd.errors import UsageError
from tasks.page.services import VOTES, PipelineServices
from tasks.settings import Settings, embedded_uri

VOTE = {"content": "a.jpg", "style": "s.jpg", "left": "vgg", "right": "mobilenet", "choice": "left"}


@pytest.fixture
def services(tmp_path) -> PipelineServices:
    return PipelineServices(
        Settings(
            home=tmp_path / "home",
            workspace=str(tmp_path / "workspace"),
            experiment="page",
            tracking_uri=embedded_uri(tmp_path / "home"),
        )
    )


@pytest.mark.slow
def test_votes_are_a_run_with_a_table_and_the_counts(services):
    import mlflow

    votes = [VOTE | {"preferred": "vgg", "blind": True}, VOTE | {"preferred": "same", "blind": False}]
    told = services.save_votes(votes)
    client = mlflow.MlflowClient(services.settings.tracking_uri)
    experiment = client.get_experiment_by_name("page")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_id in told.name
    assert told.link == ""  # a file has no pages
    assert run.data.metrics == {"votes.mobilenet": 0, "votes.vgg": 1, "votes.same": 1}
    table = json.loads(mlflow.artifacts.load_text(f"{run.info.artifact_uri}/{VOTES}"))
    assert [row[table["columns"].index("preferred")] for row in table["data"]] == ["vgg", "same"]


def test_without_a_registry_there_are_no_models_and_without_prefect_no_jobs(services, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert services.models() == []
    with pytest.raises(UsageError, match="no Prefect server is set"):
        services.start_bulk({"source": "in", "dest": "out", "styles": ["s.jpg"]}, [("s.jpg", b"x")])
