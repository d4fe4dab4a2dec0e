import os
import signal
import subprocess
import sys
import time

import pytest

from tasks.tracking.store import prepare_store

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
