"""Where the pipeline keeps things, from PCAKD_HOME, PCAKD_WORKSPACE, PCAKD_EXPERIMENT, MLFLOW_TRACKING_URI ...

All variables, with what they mean and their defaults, stand in `pcakd.environment`.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from pcakd.environment import cache_folder, setting

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    # Waiting is the journal's business (tasks/tracking): a call that fails comes back within seconds.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "GIT_PYTHON_REFRESH": "quiet",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""What Prefect, MLflow and Ray read when they are imported: no analytics, no chatter, a patient start."""


def quiet_environment() -> None:
    """Set `QUIET` where the user set nothing; before Prefect or MLflow is imported."""
    for name, default in QUIET.items():
        os.environ.setdefault(name, default)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The environment, read once."""

    home: Path
    """Local folder: journals of tracking, logs, data of the local stack."""
    workspace: str
    """Folder or s3:// prefix of stage outputs."""
    tracking_uri: str
    """MLflow tracking server, or a sqlite:/// address."""
    experiment: str
    """Name of the MLflow experiment."""
    tracking_given: bool = False
    """Whether the address was given, by MLFLOW_TRACKING_URI."""
    models: Path | None = None
    """Folder of fetched models; None: in `home`."""
    mlflow_url: str = ""
    """Address of MLflow's pages as browsers reach it; empty: there are none, as with a SQLite file."""

    @classmethod
    def read(cls, *, workspace: str | None = None) -> "Settings":
        """From the environment; `workspace` counts before PCAKD_WORKSPACE."""
        given = setting("PCAKD_HOME")
        home = Path(given or ".local").expanduser().absolute()
        place = workspace or setting("PCAKD_WORKSPACE") or str(home / "workspace")
        if not place.startswith("s3://"):
            place = os.path.abspath(os.path.expanduser(place))
        uri = setting("MLFLOW_TRACKING_URI") or embedded_uri(Path(place) if place[:5] != "s3://" else home)
        experiment = setting("PCAKD_EXPERIMENT") or "pcakd"
        return cls(
            home=home,
            workspace=place,
            tracking_uri=uri,
            experiment=experiment,
            tracking_given=bool(setting("MLFLOW_TRACKING_URI")),
            models=home / "models" if given else cache_folder() / "models",
            mlflow_url=(setting("PCAKD_MLFLOW_URL") or (shown_uri(uri) if uri.startswith("http") else "")).rstrip("/"),
        )

    @property
    def fetched(self) -> Path:
        """Folder of models that were fetched from a registry."""
        return self.models or self.home / "models"

    @property
    def journals(self) -> Path:
        """Folder of the tracking journals that are not sent yet."""
        return self.home / "tracking"


def shown_uri(uri: str) -> str:
    """A tracking address without the credentials that it may hold."""
    scheme, separator, rest = uri.partition("://")
    return scheme + separator + rest.rpartition("@")[2] if separator else uri


def embedded_uri(folder: Path) -> str:
    """The tracking address of a SQLite file below a local folder."""
    return f"sqlite:///{folder / 'mlflow' / 'mlflow.db'}"
