"""Tracking against a real MLflow on SQLite, in this process and in killed ones."""

import json
import logging
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.settings import Settings, embedded_uri
from tasks.tracking import open_tracker, send_leftovers
from tasks.tracking.journal import Journal, read_events
from tasks.tracking.store import prepare_store
from tests.command import pcakd


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    """One SQLite store for the module: its tables take seconds to make."""
    uri = embedded_uri(tmp_path_factory.mktemp("store"))
    prepare_store(uri, "prepared")
    return uri


@pytest.fixture
def settings(store, tmp_path, request) -> Settings:
    return Settings(home=tmp_path, workspace=str(tmp_path / "w"), tracking_uri=store, experiment=request.node.name)


def client_of(settings: Settings):
    from mlflow import MlflowClient

    return MlflowClient(settings.tracking_uri)


def runs_of(settings: Settings):
    client = client_of(settings)
    experiment = client.get_experiment_by_name(settings.experiment)
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


@pytest.mark.slow
def test_params_metrics_files_and_nested_runs_arrive_and_nothing_is_left_on_the_disk(settings):
    with open_tracker(settings, "pipeline", flow_run="f1") as run:
        run.params({"teacher": "vgg19", "absent": None})
        with run.child("distill") as stage:
            for step in range(300):
                stage.metrics({"loss": 1 / (step + 1), "nan": float("nan")}, step=step)
            stage.file("pictures/grid.txt", b"grid")
    runs = runs_of(settings)
    assert runs["pipeline"].info.status == runs["distill"].info.status == "FINISHED"
    assert runs["pipeline"].data.params == {"teacher": "vgg19"}
    assert runs["pipeline"].data.tags["pcakd.flow_run"] == "f1"
    assert runs["distill"].data.tags["mlflow.parentRunId"] == runs["pipeline"].info.run_id
    client = client_of(settings)
    assert len(client.get_metric_history(runs["distill"].info.run_id, "loss")) == 300
    assert [f.path for f in client.list_artifacts(runs["distill"].info.run_id, "pictures")] == ["pictures/grid.txt"]
    assert "nan" not in runs["distill"].data.metrics
    assert not list(settings.journals.iterdir())


def test_a_run_can_be_renamed_and_names_its_photos_and_its_page(settings):
    served = replace(settings, mlflow_url="https://mlflow.example")
    with open_tracker(served, "pipeline") as run:
        run.rename("vgg 2026-11-25, 3 photos")
        run.dataset("shards", "d" * 64, "s3://b/shards", context="training", generation=2, photos_train=3, unknown=None)
        page = run.page(timeout_s=60)
    found = runs_of(settings)["vgg 2026-11-25, 3 photos"]
    (used,) = found.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("shards", "d" * 36)
    assert json.loads(used.dataset.profile) == {"generation": 2, "photos_train": 3}
    assert [(tag.key, tag.value) for tag in used.tags] == [("mlflow.data.context", "training")]
    assert page.url == f"https://mlflow.example/#/experiments/{found.info.experiment_id}/runs/{found.info.run_id}"
    assert page.file("a b.html").endswith("/artifacts/a%20b.html")


def test_a_run_that_is_stopped_ends_as_killed(settings):
    with pytest.raises(KeyboardInterrupt), open_tracker(settings, "a") as run, run.child("b"):
        raise KeyboardInterrupt
    assert {run.info.status for run in runs_of(settings).values()} == {"KILLED"}


def test_artifacts_lie_beside_the_sqlite_file_by_an_explicit_address(settings):
    with open_tracker(settings, "a") as run:
        assert run.flush()
    experiment = client_of(settings).get_experiment_by_name(settings.experiment)
    assert experiment.artifact_location.startswith("file:///")


def test_an_exception_ends_the_run_as_failed(settings):
    with pytest.raises(ValueError, match="broken"), open_tracker(settings, "a") as run, run.child("b"):
        raise ValueError("broken")
    assert {run.info.status for run in runs_of(settings).values()} == {"FAILED"}


def test_with_mlflow_away_the_work_goes_on_and_the_next_process_sends_what_was_kept(
    settings, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr("tasks.tracking.tracker.LAST_TRY_S", 1.0)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = Settings(home=tmp_path, workspace="w", tracking_uri="http://127.0.0.1:9", experiment=settings.experiment)
    with caplog.at_level(logging.WARNING), open_tracker(away, "lonely") as run:
        run.metrics({"loss": 1.0}, step=1)
        run.file("a.txt", b"kept")
        assert run.mlflow_run(timeout_s=1.0) is None
    assert "does not answer; what was tracked waits" in caplog.text
    assert send_leftovers(replace(away, tracking_given=True)).kept.keys() == {away.tracking_uri}
    assert send_leftovers(replace(settings, tracking_given=True)) == (1, {})
    run = runs_of(settings)["lonely"]
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"loss": 1.0}
    assert not list(away.journals.iterdir())


@pytest.mark.slow
def test_an_mlflow_that_takes_calls_and_answers_none_holds_no_work_up_and_is_told(
    settings, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr("tasks.tracking.tracker.LAST_TRY_S", 0.5)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        slow = Settings(home=tmp_path, workspace="w", tracking_uri=uri, experiment=settings.experiment)
        with caplog.at_level(logging.WARNING):
            began = time.monotonic()
            with open_tracker(slow, "patient") as run:
                for step in range(100):
                    run.metrics({"loss": 1.0}, step=step)
                assert time.monotonic() - began < 1.0  # a call waits for nobody
            assert time.monotonic() - began < 10.0
        assert "does not answer; what was tracked waits" in caplog.text
    assert send_leftovers(replace(settings, home=tmp_path, tracking_given=True)) == (1, {})
    run = runs_of(settings)["patient"]
    assert run.info.status == "FINISHED"
    assert len(client_of(settings).get_metric_history(run.info.run_id, "loss")) == 100


KILLED = """
import os, signal
from tests.tasks.tracking.test_tracking import Settings, Path, open_tracker
settings = Settings(home=Path({home!r}), workspace="w", tracking_uri={uri!r}, experiment={experiment!r})
with open_tracker(settings, "killed") as run:
    run.metrics({{"loss": 1.0}}, step=1)
    if {sent}:
        assert run.flush()
    run.metrics({{"loss": 0.5}}, step=2)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.parametrize("sent", [True, False])
def test_what_a_killed_process_tracked_is_sent_by_the_next_one_and_its_run_ends_as_killed(settings, sent):
    code = KILLED.format(home=str(settings.home), uri=settings.tracking_uri, experiment=settings.experiment, sent=sent)
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[3])
    assert done.returncode == -9
    assert send_leftovers(settings).sent == 1
    (run,) = runs_of(settings).values()
    assert run.info.status == "KILLED"
    history = client_of(settings).get_metric_history(run.info.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(1, 1.0), (2, 0.5)]


def test_a_journal_in_use_is_left_alone(settings):
    with open_tracker(settings, "busy"):
        assert send_leftovers(settings).sent == 0


def test_a_journal_sent_twice_gives_one_run_with_each_metric_once(settings):
    settings.journals.mkdir(parents=True)
    for attempt in range(2):
        journal = Journal.create(settings.journals, {"uri": settings.tracking_uri, "experiment": settings.experiment})
        journal.append({"op": "run", "run": "same", "parent": None, "name": "one", "time": 1000, "tags": {}})
        journal.append({"op": "metrics", "run": "same", "rows": [["loss", 0.5, 7, 2000]]})
        journal.append({"op": "params", "run": "same", "values": {"a": "1"}})
        journal.close()
        assert send_leftovers(settings).sent == 1, attempt
    (run,) = runs_of(settings).values()
    assert len(client_of(settings).get_metric_history(run.info.run_id, "loss")) == 1


def test_an_entry_that_mlflow_refuses_is_left_out_and_the_rest_arrives(settings, caplog):
    with caplog.at_level(logging.WARNING), open_tracker(settings, "a") as run:
        run.params({"x": 1})
        run.params({"x": 2})
        run.metrics({"bad/name*": 1.0}, step=0)
        run.metrics({"loss": 1.0}, step=0)
    found = runs_of(settings)["a"]
    assert found.data.params == {"x": "1"}
    assert found.info.status == "FINISHED"
    assert "MLflow refuses" in caplog.text


def test_a_line_cut_by_a_crash_is_ignored(tmp_path):
    journal = Journal.create(tmp_path, {"uri": "", "experiment": ""})
    journal.close()
    with (journal.folder / "journal.jsonl").open("ab") as file:
        file.write(b'{"op":"me')
    assert [event["op"] for event, _ in read_events(journal.folder)] == ["header"]


def test_many_threads_may_track_at_once(settings):
    def work(run, number):
        with run.child(f"stage {number}") as stage:
            stage.metrics({"x": number}, step=number)

    with open_tracker(settings, "parent") as run:
        threads = [threading.Thread(target=work, args=(run, number)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(runs_of(settings)) == 5


@pytest.mark.slow
def test_the_command_sends_what_is_kept_or_says_in_one_line_why_not(settings):
    leave_journal(settings, "http://127.0.0.1:9")
    environment = {"PCAKD_HOME": str(settings.home), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    away = pcakd("send-tracking", **environment)
    assert away.returncode == 4
    assert len(away.stderr.strip().splitlines()) == 1
    assert "1 run still waiting: MLflow at http://127.0.0.1:9 does not answer" in away.stderr
    environment["MLFLOW_TRACKING_URI"] = settings.tracking_uri
    done = pcakd("send-tracking", **environment)
    assert (done.returncode, done.stdout) == (0, "1 run sent\n")
    assert "nothing was waiting" in pcakd("send-tracking", **environment).stdout


def leave_journal(settings: Settings, uri: str, name: str = "one") -> Path:
    """What a process that could not reach an address leaves behind."""
    settings.journals.mkdir(parents=True, exist_ok=True)
    journal = Journal.create(settings.journals, {"uri": uri, "experiment": settings.experiment})
    journal.append({"op": "run", "run": name, "parent": None, "name": name, "time": 1000, "tags": {}})
    journal.append({"op": "metrics", "run": name, "rows": [["loss", 0.5, 7, 2000]]})
    journal.close()
    return journal.folder


def test_a_journal_for_a_dead_address_keeps_neither_another_nor_a_later_run_from_being_sent(
    settings, caplog, monkeypatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    dead = "http://127.0.0.1:9"
    folders = {leave_journal(settings, dead, f"dead {number}") for number in range(2)}
    leave_journal(settings, settings.tracking_uri, "good")
    with caplog.at_level(logging.WARNING), open_tracker(settings, "later") as run:
        run.metrics({"loss": 1.0}, step=0)
        run._session._leftovers.join(30)
        assert run.flush()
    runs = runs_of(settings)
    assert runs["later"].info.status == "FINISHED"
    assert runs["good"].info.status == "KILLED"
    assert set(settings.journals.iterdir()) == folders
    assert f"2 earlier runs still wait for MLflow at {dead}" in caplog.text
    assert "the work goes on" not in caplog.text


def test_a_journal_that_another_server_had_in_part_is_sent_from_its_beginning(settings):
    folder = leave_journal(settings, "http://127.0.0.1:9")
    lines = (folder / "journal.jsonl").read_bytes()
    (folder / "sent.json").write_text(json.dumps({"offset": len(lines) - 5, "runs": {"one": "an id of there"}}))
    assert send_leftovers(replace(settings, tracking_given=True)) == (1, {})
    assert runs_of(settings)["one"].data.metrics == {"loss": 0.5}
