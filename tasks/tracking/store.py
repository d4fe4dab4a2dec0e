"""The MLflow behind a tracking address: the embedded SQLite default is made here, once, by one process."""

import fcntl
import os
import threading
from pathlib import Path
from typing import Any

from tasks.settings import quiet_environment, shown_uri

_preparing = threading.Lock()
_loading = threading.Lock()


def load_mlflow() -> None:
    """Import MLflow, one thread at a time: the sender of tracking and a stage that begin at once would each find what
    the other has half imported."""
    quiet_environment()
    with _loading:
        import mlflow
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


def store_errors() -> tuple[type[Exception], ...]:
    """What MLflow raises where its store cannot be used: errors of its own, and of the database, which it passes on."""
    load_mlflow()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError


def no_database(error: Exception, tracking_uri: str) -> str:
    """What is wrong with a store whose SQLite address names another file, or a damaged one; "" for other errors."""
    if getattr(getattr(error, "orig", None), "sqlite_errorname", "") not in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
        return ""
    return f"the registry at {shown_uri(tracking_uri)} is no database: let MLFLOW_TRACKING_URI name one, or a server"


def client_for(tracking_uri: str) -> Any:
    """An `MlflowClient` for tracking and registry at this address. A SQLite store that is not there yet is made."""
    load_mlflow()
    from mlflow import MlflowClient

    database = sqlite_file(tracking_uri)
    if database is not None:
        _make_once(database)
    return MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)


def prepare_store(tracking_uri: str, experiment: str) -> str:
    """Make sure that the store and the experiment are there; the experiment's id.

    Raises what MLflow raises where the store cannot be reached.
    """
    client, database = client_for(tracking_uri), sqlite_file(tracking_uri)
    return _experiment_id(client, experiment, None if database is None else _artifacts(database))


def _make_once(database: Path) -> None:
    """Two that create MLflow's tables at once, be they threads or processes, trip over each other: one does."""
    if _is_made(database):
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with _preparing, (database.parent / f".{database.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_made(database):
            _create_database(database)


def _is_made(database: Path) -> bool:
    """Whether the file is there; then it is whole, for it comes into place at once. Only looked at from outside: who
    opens and closes a database's file beside SQLite takes all locks on it from the process."""
    return database.exists() and database.stat().st_size > 0


def _artifacts(database: Path) -> str:
    """A SQLite store's artifacts lie in the folder beside the file; MLflow would take the working folder."""
    return (database.parent / "artifacts").as_uri()


def _create_database(database: Path) -> None:
    """Make MLflow's tables under another name first: SQLite's schema changes are not undone when a process is
    killed between two of them, and MLflow cannot go on from a half-made schema."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for leftover in database.parent.glob(f".{database.name}.new*"):
        leftover.unlink()
    fresh = database.with_name(f".{database.name}.new")
    SqlAlchemyStore(f"sqlite:///{fresh}", _artifacts(database)).engine.dispose()
    os.replace(fresh, database)


def _experiment_id(client: Any, name: str, location: str | None) -> str:
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
