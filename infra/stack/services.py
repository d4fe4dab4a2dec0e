"""What the stack runs: a table of commands, environments and health checks, made from the environment.

PCAKD_STACK_DATA      folder for databases, artifacts, logs and process ids   [.local/stack]
PCAKD_PREFECT_PORT    [4200]     PCAKD_MLFLOW_PORT  [5000]     PCAKD_RAY_PORT  [6379]     PCAKD_UI_PORT  [7860]
PCAKD_PHOTOS          folder or s3:// prefix that the page browses            [none]
PCAKD_WORKSPACE       workspace of the flows                                  [PCAKD_STACK_DATA/workspace]
PCAKD_NUM_CPUS        CPUs of the Ray head                                    [all]
"""

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pcakd.environment import setting
from pcakd.errors import UsageError
from pcakd.ui.options import PORT
from tasks.settings import QUIET

POOL = "pcakd"
HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Service:
    """One process of the stack."""

    name: str
    """What it is called in messages, logs and process files."""
    command: list[str]
    """Words of its command."""
    healthy: Callable[[], bool]
    """Whether it answers."""
    waits_for: str = "it answers"
    """What `healthy` looks for, in words."""
    port: int | None = None
    """The port that must be free before it starts; None: it listens on none of its own."""
    port_variable: str = ""
    """The environment variable that sets the port."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """On top of the stack's."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The stack as configured."""

    data: Path
    """Folder of everything it keeps."""
    prefect_port: int
    """Of the Prefect server."""
    mlflow_port: int
    """Of the MLflow server."""
    ray_port: int
    """Of the Ray head (GCS)."""
    page_port: int = PORT
    """Of the page in the browser."""

    @classmethod
    def read(cls) -> "Stack":
        """From the environment. Raises UsageError for a port that is none."""
        return cls(
            data=Path(setting("PCAKD_STACK_DATA") or ".local/stack").expanduser().absolute(),
            prefect_port=_port("PCAKD_PREFECT_PORT", 4200),
            mlflow_port=_port("PCAKD_MLFLOW_PORT", 5000),
            ray_port=_port("PCAKD_RAY_PORT", 6379),
            page_port=_port("PCAKD_UI_PORT", PORT),
        )

    @property
    def prefect_url(self) -> str:
        return f"http://{HOST}:{self.prefect_port}"

    @property
    def mlflow_url(self) -> str:
        return f"http://{HOST}:{self.mlflow_port}"

    @property
    def page_url(self) -> str:
        return f"http://{HOST}:{self.page_port}"

    def exports(self) -> dict[str, str]:
        """The variables with which commands elsewhere use the stack."""
        return {
            "PREFECT_API_URL": f"{self.prefect_url}/api",
            "MLFLOW_TRACKING_URI": self.mlflow_url,
            "RAY_ADDRESS": f"{HOST}:{self.ray_port}",
            "PCAKD_WORKSPACE": setting("PCAKD_WORKSPACE") or str(self.data / "workspace"),
        }

    def environment(self) -> dict[str, str]:
        """What every process of the stack gets beside the user's own environment."""
        own = {
            "PREFECT_HOME": str(self.data / "prefect"),
            "PCAKD_HOME": str(self.data / "home"),
            "RAY_AUTH_MODE": "disabled",
        }
        return QUIET | own | self.exports()

    def services(self) -> list[Service]:
        """In the order of starting; they are stopped the other way round."""
        python = [sys.executable, "-m"]
        mlflow_store = f"sqlite:///{self.data / 'mlflow' / 'mlflow.db'}"
        artifacts = (self.data / "mlflow" / "artifacts").as_uri()
        ray_options = ["--include-dashboard=false", "--disable-usage-stats"]
        if cpus := setting("PCAKD_NUM_CPUS"):
            ray_options.append(f"--num-cpus={cpus}")
        if folder := setting("PCAKD_RAY_TEMP_DIR"):
            ray_options.append(f"--temp-dir={folder}")
        photos = ["--photos", found] if (found := setting("PCAKD_PHOTOS")) else []
        return [
            Service(
                name="prefect",
                command=[*python, "prefect", "server", "start", "--host", HOST, "--port", str(self.prefect_port)],
                healthy=lambda: bool(answers(f"{self.prefect_url}/api/health")),
                waits_for=f"{self.prefect_url}/api/health answers",
                port=self.prefect_port,
                port_variable="PCAKD_PREFECT_PORT",
            ),
            Service(
                name="mlflow",
                command=[
                    *[*python, "mlflow", "server", "--host", HOST, "--port", str(self.mlflow_port), "--workers", "1"],
                    *["--backend-store-uri", mlflow_store, "--serve-artifacts", "--artifacts-destination", artifacts],
                ],
                healthy=lambda: bool(answers(f"{self.mlflow_url}/health")),
                waits_for=f"{self.mlflow_url}/health answers",
                port=self.mlflow_port,
                port_variable="PCAKD_MLFLOW_PORT",
            ),
            Service(
                name="ray",
                command=[
                    *[*python, "ray.scripts.scripts", "start", "--head", "--block", "--node-ip-address", HOST],
                    *["--port", str(self.ray_port), *ray_options],
                ],
                healthy=lambda: _listens(self.ray_port) and _has_a_node(f"{HOST}:{self.ray_port}"),
                waits_for=f"a node has joined at {HOST}:{self.ray_port}",
                port=self.ray_port,
                port_variable="PCAKD_RAY_PORT",
            ),
            Service(
                name="worker",
                command=[*python, "prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", "local"],
                healthy=lambda: _worker_is_online(self.prefect_url),
                waits_for=f"Prefect has heard of it in the pool {POOL}",
            ),
            Service(
                name="page",
                command=[*python, "flows.cli", "ui", "--host", HOST, "--port", str(self.page_port), *photos],
                healthy=lambda: bool(answers(f"{self.page_url}/api/health")),
                waits_for=f"{self.page_url}/api/health answers",
                port=self.page_port,
                port_variable="PCAKD_UI_PORT",
            ),
        ]


def _port(name: str, default: int) -> int:
    port = setting(name) or str(default)
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise UsageError(f"{name} is {port!r}: give a port, 1 to 65535")
    return int(port)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((HOST, port)) == 0


def _has_a_node(address: str) -> bool:
    """Whether a node has joined: Ray's port answers before that, and its start may yet fail."""
    words = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address]
    done = subprocess.run(
        words, env={**os.environ, **QUIET, "RAY_AUTH_MODE": "disabled"}, capture_output=True, text=True, check=False
    )
    return done.returncode == 0 and " node_" in done.stdout


def answers(url: str, body: bytes | None = None) -> bytes:
    """The answer's content, b"" where there is none."""
    try:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.read() or b"ok"
    except (OSError, urllib.error.URLError):
        return b""


def _worker_is_online(prefect_url: str) -> bool:
    answer = answers(f"{prefect_url}/api/work_pools/{POOL}/workers/filter", b"{}")
    return any(worker["status"] == "ONLINE" for worker in json.loads(answer or b"[]"))
