"""The MLflow behind a tracking address: the embedded SQLite default is made here, once, by one process."""

import fcntl
import os
import threading
from pathlib import Path
from typing import Any

from tasks.settings import quiet_environment

_preparing = threading.Lock()


_loading = threading.Lock()


def load_mlflow() -> None:
    """Import MLflow, one thread at a time: the sender of tracking and a stage that begin at once would each find what
    the other has half imported."""
    quiet_environment()
    with _loading:
        import mlflow
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


def client_for(tracking_uri: str) -> Any:
    """An `MlflowClient` for tracking and registry at this address."""
    load_mlflow()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)


def prepare_store(tracking_uri: str, experiment: str) -> str:
    """Make sure that the store and the experiment are there; the experiment's id.

    A SQLite store gets its artifacts in the folder beside the file, by an explicit address.
    Raises what MLflow raises where the store cannot be reached.
    """
    load_mlflow()
    database = sqlite_file(tracking_uri)
    if database is None:
        return _experiment_id(tracking_uri, experiment, None)
    database.parent.mkdir(parents=True, exist_ok=True)
    with _preparing, (database.parent / f".{database.name}.lock").open("w") as lock:
        # Two processes that create the tables at once trip over each other.
        fcntl.flock(lock, fcntl.LOCK_EX)
        artifacts = (database.parent / "artifacts").as_uri()
        if not database.exists():
            _create_database(database, artifacts)
        return _experiment_id(tracking_uri, experiment, artifacts)


def _create_database(database: Path, artifacts: str) -> None:
    """Make MLflow's tables under another name first: SQLite's schema changes are not undone when a process is
    killed between two of them, and MLflow cannot go on from a half-made schema."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for leftover in database.parent.glob(f".{database.name}.new*"):
        leftover.unlink()
    fresh = database.with_name(f".{database.name}.new")
    SqlAlchemyStore(f"sqlite:///{fresh}", artifacts).engine.dispose()
    os.replace(fresh, database)


def _experiment_id(tracking_uri: str, name: str, location: str | None) -> str:
    client = client_for(tracking_uri)
    from mlflow.exceptions import MlflowException

    if (found := client.get_experiment_by_name(name)) is not None:
        return found.experiment_id
    try:
        return client.create_experiment(name, location)
    except MlflowException:
        # Somebody else has made it in between.
        if (found := client.get_experiment_by_name(name)) is None:
            raise
        return found.experiment_id


def sqlite_file(tracking_uri: str) -> Path | None:
    """The file of a sqlite:/// address, None for any other."""
    if not tracking_uri.startswith("sqlite:///"):
        return None
    return Path(os.path.abspath(tracking_uri.removeprefix("sqlite:///")))
