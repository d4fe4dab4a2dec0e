"""A session of stages that tells nobody: no Prefect, no MLflow."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tasks.settings import Settings
from tasks.stages.session import Session


class Untracked:
    """A run that keeps nothing."""

    @contextmanager
    def child(self, name: str, **tags: Any) -> Iterator["Untracked"]:
        yield self

    def params(self, values: Any) -> None: ...
    def tags(self, values: Any) -> None: ...
    def metrics(self, values: Any, *, step: int = 0) -> None: ...
    def file(self, path: str, data: bytes) -> None: ...
    def dataset(self, name: str, digest: str, source: str, *, context: str, **profile: Any) -> None: ...


@contextmanager
def session(workspace: Path | str) -> Iterator[Session]:
    """Over a workspace; a stage is run in it with `stage.fn(session, ...)`."""
    settings = Settings(home=Path("unused"), workspace=str(workspace), tracking_uri="", experiment="")
    with ExitStack() as stack:
        yield Session(settings, Untracked(), "a test", logging.getLogger("pcakd"), stack)  # type: ignore[arg-type]
