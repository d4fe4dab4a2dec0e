import os
import signal
import subprocess
import sys
import time

import pytest

from tasks.tracking.store import client_for, prepare_store

pytestmark = pytest.mark.slow


def test_a_process_killed_while_it_makes_the_database_leaves_nothing_in_the_way(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    code = f"from tasks.tracking.store import prepare_store; prepare_store({uri!r}, 'pcakd')"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    half_made = tmp_path / ".mlflow.db.new"
    deadline = time.monotonic() + 120
    while not (half_made.exists() and half_made.stat().st_size) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "mlflow.db").exists()
    first = prepare_store(uri, "pcakd")
    assert prepare_store(uri, "pcakd") == first
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mlflow.db.lock", "mlflow.db"]


TWO_THREADS = """
import threading
from pathlib import Path
from tasks.registry.champion import incumbents_of
from tasks.registry.show import models
from tasks.settings import Settings, embedded_uri
from tasks.tracking.store import prepare_store

folder = Path({folder!r})
settings = Settings(home=folder, workspace=str(folder), tracking_uri=embedded_uri(folder), experiment="x")
calls = [lambda: prepare_store(settings.tracking_uri, "x"), lambda: {stage}]
threads = [threading.Thread(target=call) for call in calls]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@pytest.mark.parametrize("stage", ['incumbents_of("vgg", settings=settings)', "models(settings)"])
def test_a_sender_and_a_stage_that_need_mlflow_first_at_once_do_not_trip_over_each_other(tmp_path, stage):
    code = TWO_THREADS.format(folder=str(tmp_path), stage=stage)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert "Exception in thread" not in done.stderr, done.stderr[-2000:]


def test_an_empty_file_becomes_a_store_with_its_artifacts_beside_it(tmp_path):
    file = tmp_path / "mlflow.db"
    file.touch()
    default = client_for(f"sqlite:///{file}").get_experiment_by_name("Default")
    assert default.artifact_location.startswith((tmp_path / "artifacts").as_uri())
