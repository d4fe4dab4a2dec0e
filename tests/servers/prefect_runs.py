"""Flow runs as a team starts them: a deployment, a worker that carries it out, its state and its log."""

import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.servers.processes import ROOT, end, start, wait_until

POOL = "tests"
BUSY = 30
"""How often a server that is busy is asked again, as Prefect's own client does."""
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


class Deployments:
    """Of one Prefect server. folder: PCAKD_HOME, workspace and log of the worker."""

    def __init__(self, api: str, folder: Path) -> None:
        self.api, self.folder, self.workspace = api, folder, folder / "workspace"
        self.log = folder / "worker.log"
        self._process: subprocess.Popen | None = None

    @contextmanager
    def worker(self, ray: str) -> Iterator["Deployments"]:
        """While the block runs a worker looks for runs every second; they use the Ray at this address."""
        self.post("work_pools/", {"name": POOL, "type": "process"})
        self._process = start(
            ["prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", "tests"],
            self.log,
            PREFECT_API_URL=self.api,
            PREFECT_HOME=str(self.folder / "prefect"),
            PREFECT_WORKER_QUERY_SECONDS="1",
            PCAKD_HOME=str(self.folder / "home"),
            PCAKD_WORKSPACE=str(self.workspace),
            RAY_ADDRESS=ray,
            MLFLOW_TRACKING_URI="",
            OMP_NUM_THREADS="1",
        )
        try:
            self.wait(lambda: self.post(f"work_pools/{POOL}/workers/filter", {}))
            yield self
        finally:
            # Asked to end, it first waits for half a minute; killed, it leaves what it started.
            started = psutil.Process(self._process.pid).children(recursive=True)
            end(self._process, signal.SIGKILL)
            for process in started:
                with suppress(psutil.Error):
                    process.kill()

    def wait(self, true: Callable[[], Any], seconds: float = 300) -> None:
        assert self._process is not None
        wait_until(true, self._process, self.log, seconds)

    def start(self, entrypoint: str, parameters: dict[str, Any]) -> str:
        """Deploy a flow and start a run of it; the run's id. entrypoint: "flows/x.py:x"."""
        name = entrypoint.rpartition(":")[2].replace("_", "-")
        flow = self.post("flows/", {"name": name})
        deployment = self.post(
            "deployments/",
            {
                "name": "tests",
                "flow_id": flow["id"],
                "work_pool_name": POOL,
                # As `prefect deploy` has it. With a path in its stead every run copies the folder, the
                # gigabytes of its virtual environment included.
                "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}],
                "entrypoint": entrypoint,
            },
        )
        run = self.post(f"deployments/{deployment['id']}/create_flow_run", {"parameters": parameters})
        return run["id"]

    def cancel(self, run: str) -> None:
        """Cancel a run as Prefect's page does, and wait until it has ended."""
        self.post(f"flow_runs/{run}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})
        self.ended(run)

    def state(self, run: str) -> dict[str, Any]:
        return self._call(f"flow_runs/{run}")["state"]

    def ended(self, run: str) -> dict[str, Any]:
        """The state that a run ends in."""
        self.wait(lambda: self.state(run)["type"] in FINAL, seconds=900)
        return self.state(run)

    def records(self, run: str) -> list[dict[str, Any]]:
        """A run's log, in order."""
        return self.post(
            "logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC", "limit": 200}
        )

    def artifacts(self, run: str) -> dict[str, dict[str, Any]]:
        """Key → artifact of a run."""
        found = self.post("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
        return {artifact["key"]: artifact for artifact in found}

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._call(path, json.dumps(body).encode())

    def send(self, path: str, body: Any) -> None:
        """Post what is answered with nothing."""
        request = urllib.request.Request(
            f"{self.api}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=60).close()

    def _call(self, path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(f"{self.api}/{path}", body, {"Content-Type": "application/json"})
        for left in range(BUSY, -1, -1):
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code != 503 or not left:  # its SQLite is locked
                    raise
                time.sleep(1)
        raise AssertionError("unreachable")
