"""What the stages of one flow run share: settings, workspace, the MLflow run, one Ray cluster."""

import atexit
import gc
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from pcakd.storage import Storage, open_storage
from tasks.cluster.attach import ray_cluster
from tasks.settings import Settings
from tasks.tracking import Tracker, open_tracker


class Session:
    """One flow run. Not to be shared between threads that start stages at once."""

    def __init__(self, settings: Settings, tracker: Tracker, holder: str, log: Any, stack: ExitStack) -> None:
        self.settings, self.tracker, self.holder, self.log = settings, tracker, holder, log
        self.workspace: Storage = open_storage(settings.workspace)
        self._stack = stack
        self._attached = False

    def attach_ray(self) -> None:
        """Be on a Ray cluster until the session ends: a stage that finds its output made needs none."""
        if not self._attached:
            self._stack.enter_context(ray_cluster())
            self._attached = True


@contextmanager
def open_session(flow: str, *, workspace: str | None = None) -> Iterator[Session]:
    """Open a session for a flow of this name; within a Prefect flow run its name and log are used.

    Raises UsageError for a workspace that is no storage.
    """
    settings = Settings.read(workspace=workspace)
    open_storage(settings.workspace)
    run_id, run_name, log = _prefect_run()
    with _quick_end_where_ended(), ExitStack() as stack:
        stack.enter_context(_tracking_address(settings.tracking_uri))
        names = {"flow_run_name": run_name} if run_name else {}
        tracker = stack.enter_context(open_tracker(settings, flow, flow=flow, flow_run=run_id or "none", **names))
        holder = f"flow run {run_name}" if run_name else f"a {flow} without Prefect"
        log.info("workspace %s", settings.workspace)
        yield Session(settings, tracker, holder, log, stack)


@contextmanager
def _quick_end_where_ended() -> Iterator[None]:
    """Let a process whose run is cancelled or interrupted end soon.

    Python's end looks through all that PyTorch, Ray and MLflow have in memory for what refers to itself, several times:
    5 s of CPU, of the 30 s after which Prefect kills a run that was cancelled. The process's end frees it anyhow.
    """
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception):
            atexit.register(gc.freeze)
        raise


@contextmanager
def _tracking_address(uri: str) -> Iterator[None]:
    """Let all of this process, where models:/ names are looked up too, use the session's MLflow."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ["MLFLOW_TRACKING_URI"] = uri
    try:
        yield
    finally:
        if before is None:
            del os.environ["MLFLOW_TRACKING_URI"]
        else:
            os.environ["MLFLOW_TRACKING_URI"] = before


def _prefect_run() -> tuple[str | None, str | None, Any]:
    from prefect.context import FlowRunContext
    from prefect.logging import get_run_logger

    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return None, None, logging.getLogger("pcakd")
    return str(context.flow_run.id), context.flow_run.name, get_run_logger()
