"""Progress in Prefect's interface: an artifact that is renewed now and then, and lines in the run's log that become
rarer as the work gets longer; outside a flow run nothing."""

import logging
import time
from contextlib import suppress
from typing import Any

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger

from pcakd.units import duration

EVERY_S = 10.0
"""Between two states of the artifact, and before the first line."""
RARER, RAREST_S = 2.0, 300.0
"""Each wait for a line is so many times the one before, and at most so long: some 15 lines in an hour."""


class StageProgress:
    """`with StageProgress("distill-student", "Distilling") as progress: progress(0.5, "pair 1")`."""

    def __init__(self, key: str, description: str) -> None:
        self.key, self.description = key, description
        self._artifact: Any = None
        self._told = 0.0
        self._began = self._said = time.monotonic()
        self._wait = EVERY_S
        self._log: Any = logging.getLogger("pcakd")

    def __enter__(self) -> "StageProgress":
        if FlowRunContext.get() is not None:
            with suppress(Exception):  # Prefect's server away must not end a training
                self._artifact = create_progress_artifact(progress=0.0, key=self.key, description=self.description)
            with suppress(Exception):
                self._log = get_run_logger()
        self._began = self._said = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self._update(1.0, self.description)

    def __call__(self, share: float, what: str) -> None:
        """share: done, 0 to 1; what: the present part of it."""
        now = time.monotonic()
        if now - self._told >= EVERY_S:
            self._told = now
            self._update(share, f"{self.description}: {what}")
        if now - self._said >= self._wait:
            self._said, self._wait = now, min(self._wait * RARER, RAREST_S)
            after = duration(now - self._began)
            self._log.info("%s: %s (%.0f %%, after %s)", self.description, what, 100 * share, after)

    def _update(self, share: float, description: str) -> None:
        if self._artifact is not None:
            with suppress(Exception):
                update_progress_artifact(self._artifact, progress=round(100 * share, 1), description=description)
