"""Runs of a small pipeline in a process of their own, and what they leave in workspace and registry."""

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from mlflow import MlflowClient

from tasks.settings import Settings
from tests.assets.places import Assets
from tests.flows.small import parameters
from tests.servers.processes import end, start, wait_until

EASY = {"above_reinhard": -99, "above_unchanged": -99, "reconstruction": 0, "unexplained": []}
"""Floors that a student of few steps reaches."""


class Pipeline:
    """Runs of one pipeline in one workspace."""

    def __init__(
        self,
        folder: Path,
        prefect: str,
        ray: str,
        assets: Assets,
        *,
        tracking_uri: str = "",
        steps: int = 4,
        registration: dict | None = None,
    ) -> None:
        self.folder, self.workspace = folder, folder / "workspace"
        self.environment = {
            "PREFECT_API_URL": prefect,
            "RAY_ADDRESS": ray,
            "PCAKD_HOME": str(folder / "home"),
            "OMP_NUM_THREADS": "1",
            "MLFLOW_TRACKING_URI": tracking_uri,
        }
        self.values = parameters(assets, folder, steps=steps) | {"registration": registration}
        self.log = folder / "log"
        self.settings = Settings.read(workspace=str(self.workspace))
        if tracking_uri:
            self.settings = Settings(
                home=folder / "home", workspace=str(self.workspace), tracking_uri=tracking_uri, experiment="pcakd"
            )

    def start(self, *runs: dict) -> subprocess.Popen:
        """Runs in a row; with the pipeline's own parameters where none are given."""
        files = []
        for number, values in enumerate(runs or [self.values]):
            files.append(self.folder / f"parameters-{number}.json")
            files[-1].write_text(json.dumps(values))
        return start(["tests.flows.small", str(self.workspace), *map(str, files)], self.log, **self.environment)

    def run(self, *runs: dict) -> None:
        process = self.start(*runs)
        process.wait(600)
        assert process.returncode == 0, self.log.read_text()[-3000:]

    def kill_when(self, true: Callable[[], object]) -> None:
        process = self.start()
        try:
            wait_until(true, process, self.log)
        finally:
            end(process, signal.SIGKILL)

    def files(self, pattern: str) -> list[Path]:
        return sorted(self.workspace.glob(pattern))

    def outcomes(self) -> Counter:
        """(stage, "made" or "reused") → how often, over all runs."""
        client = MlflowClient(self.settings.tracking_uri)
        experiment = client.get_experiment_by_name("pcakd")
        runs = client.search_runs([experiment.experiment_id], max_results=1000)
        return Counter((run.info.run_name, run.data.tags.get("pcakd.outcome")) for run in runs)

    def versions(self) -> list:
        """The newest first."""
        return MlflowClient(self.settings.tracking_uri).search_model_versions("name = 'pcakd-mobilenet'")
