"""The `pipeline` extra: what the stages need of it, and what is said where it is not installed."""

from importlib.util import find_spec

from pcakd.errors import UsageError

PACKAGES = ("ray", "prefect", "mlflow", "sqlalchemy", "psutil")
"""What `tasks` and `flows` import of the extra. Nothing in `pcakd` does."""

INSTALL = 'pip install "pcakd[pipeline]"'


def need_pipeline(what: str) -> None:
    """Called before `what`, such as "pcakd shard", does anything. Raises UsageError where the extra is missing."""
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise UsageError(f"{what} needs {', '.join(missing)}, not installed here; install the stages' extra: {INSTALL}")


def brought_by_pipeline(error: ModuleNotFoundError) -> bool:
    """Whether the module that was not found is the extra's."""
    return (error.name or "").partition(".")[0] in PACKAGES
