"""The stack's processes: what is said of settings that differ. The one service here is a sleeping Python."""

import sys

import pytest

from infra.stack.processes import down, up
from infra.stack.services import Service, Stack


class OneService(Stack):
    """A stack of a process that answers at once."""

    def services(self) -> list[Service]:
        command = [sys.executable, "-c", "import time; time.sleep(300)"]
        return [Service(name="sleeper", command=command, healthy=lambda: True, waits_for="it sleeps")]


@pytest.fixture
def stack(tmp_path):
    one = OneService(data=tmp_path, prefect_port=1, mlflow_port=2, ray_port=3)
    yield one
    down(one, lambda line: None)


def said(stack: Stack) -> str:
    lines: list[str] = []
    up(stack, lines.append)
    return "\n".join(lines)


def test_up_says_what_it_waits_for_and_which_settings_a_running_service_has_not(stack, monkeypatch, tmp_path):
    monkeypatch.setenv("PCAKD_NUM_CPUS", "2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "one secret")
    assert "sleeper: starting; waiting until it sleeps" in said(stack)
    assert "other settings" not in said(stack)
    monkeypatch.setenv("PCAKD_NUM_CPUS", "4")
    monkeypatch.setenv("PCAKD_EXPERIMENT", "other")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another secret")
    again = said(stack)
    assert "`make restart` takes these: AWS_SECRET_ACCESS_KEY (changed)" in again
    assert "PCAKD_EXPERIMENT (unset → other), PCAKD_NUM_CPUS (2 → 4)" in again
    assert "secret" not in again + "".join(path.read_text() for path in (tmp_path / "run").iterdir())
    lines: list[str] = []
    down(stack, lines.append)
    up(stack, lines.append)
    assert lines[0] == "sleeper: stopped"
    assert "other settings" not in said(stack)
