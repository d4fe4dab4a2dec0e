"""Progress in Prefect's interface: an artifact that is renewed now and then; outside a flow run nothing."""

import logging
import time
from contextlib import suppress
from typing import Any

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext

EVERY_S = 10.0


class StageProgress:
    """`with StageProgress("distill-student", "Distilling") as progress: progress(0.5, "pair 1")`."""

    def __init__(self, key: str, description: str) -> None:
        self.key, self.description = key, description
        self._artifact: Any = None
        self._told = 0.0

    def __enter__(self) -> "StageProgress":
        if FlowRunContext.get() is not None:
            with suppress(Exception):  # Prefect's server away must not end a training
                self._artifact = create_progress_artifact(progress=0.0, key=self.key, description=self.description)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self._update(1.0, self.description)

    def __call__(self, share: float, what: str) -> None:
        """share: done, 0 to 1; what: the present part of it."""
        now = time.monotonic()
        if now - self._told >= EVERY_S:
            self._told = now
            logging.getLogger("pcakd").info("%s: %s (%.0f %%)", self.description, what, 100 * share)
            self._update(share, f"{self.description}: {what}")

    def _update(self, share: float, description: str) -> None:
        if self._artifact is not None:
            with suppress(Exception):
                update_progress_artifact(self._artifact, progress=round(100 * share, 1), description=description)
