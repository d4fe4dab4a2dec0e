"""What stages talk to: a run, runs nested in it, and the thread that sends their journal."""

import logging
import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from tasks.settings import Settings, shown_uri
from tasks.tracking.journal import Journal
from tasks.tracking.sender import Sender
from tasks.tracking.web import RunPage

logger = logging.getLogger(__name__)

SEND_EVERY_S = 5.0
AGAIN_AT_MOST_S = 60.0
LEFTOVERS_S = 5.0
"""How long the end of a run waits for what earlier ones left to be sent."""
LAST_TRY_S = 20.0
"""How long the end of a run waits for an MLflow that does not answer."""


class Tracker:
    """One run in MLflow. Every method returns at once and never raises for MLflow's sake."""

    def __init__(self, session: "_Session", run: str) -> None:
        self._session, self.run = session, run

    def params(self, values: Mapping[str, Any]) -> None:
        """Parameters; each has one value for the whole run."""
        self._add("params", values={key: str(value) for key, value in values.items() if value is not None})

    def tags(self, values: Mapping[str, Any]) -> None:
        self._add("tags", values={key: str(value) for key, value in values.items()})

    def metrics(self, values: Mapping[str, float], *, step: int = 0) -> None:
        """Values at a step; those that are not finite are left out."""
        now = int(time.time() * 1000)
        rows = [[key, float(value), step, now] for key, value in values.items() if math.isfinite(value)]
        if rows:
            self._add("metrics", rows=rows)

    def file(self, path: str, data: bytes) -> None:
        """An artifact: `path` is "loss.png" or "pictures/0.jpg"."""
        self._add("file", path=path, file=self._session.journal.add_file(data))

    def dataset(self, name: str, digest: str, source: str, *, context: str, **profile: Any) -> None:
        """What the run read: MLflow shows it among the run's datasets. source: its address; context: "training",
        "evaluation"; profile: what else to say of it, as counts."""
        profile = {key: value for key, value in profile.items() if value is not None}
        self._add("dataset", name=name, digest=digest, source=source, context=context, profile=profile)

    def rename(self, name: str) -> None:
        """Another name for the run, once it is known what it is about."""
        self._add("name", name=name)

    @contextmanager
    def child(self, name: str, **tags: Any) -> Iterator["Tracker"]:
        """A nested run; it ends with the block: FINISHED, FAILED after an exception, KILLED where it was stopped."""
        with self._session.run(name, self.run, tags) as tracker:
            yield tracker

    def mlflow_run(self, *, timeout_s: float = 30.0) -> str | None:
        """MLflow's id of this run; None when MLflow does not answer in time."""
        return self._session.mlflow_run(self.run, timeout_s)

    def page(self, *, timeout_s: float = 5.0) -> RunPage | None:
        """Where a browser finds this run; None where MLflow has no pages, or does not answer in time."""
        address = self._session.settings.mlflow_url
        run = self.mlflow_run(timeout_s=timeout_s) if address else None
        return RunPage(address, self._session.sender.experiment_id, run) if run else None

    def flush(self, *, timeout_s: float = 30.0) -> bool:
        """Wait until all is sent; False when MLflow does not take it in time."""
        return self._session.flush(timeout_s)

    def _add(self, op: str, **fields: Any) -> None:
        self._session.add({"op": op, "run": self.run, **fields})


@contextmanager
def open_tracker(settings: Settings, name: str, **tags: Any) -> Iterator[Tracker]:
    """A run at the top, with what earlier processes could not send sent beside it."""
    journal = Journal.create(settings.journals, {"uri": settings.tracking_uri, "experiment": settings.experiment})
    session = _Session(journal, settings)
    session.start()
    try:
        with session.run(name, None, tags) as tracker:
            yield tracker
    finally:
        session.finish()


class _Session:
    def __init__(self, journal: Journal, settings: Settings) -> None:
        self.journal, self.settings = journal, settings
        self.sender = Sender(journal.folder)
        self._ids = 0
        self._wake, self._stop = threading.Event(), threading.Event()
        self._added = self._done = 0
        self._state = threading.Condition()
        self._away_since: float | None = None
        self._thread = threading.Thread(target=self._work, name="pcakd-tracking", daemon=True)
        # Of its own: a journal that cannot be sent must not keep this run's from being.
        self._leftovers = threading.Thread(target=self._send_leftovers, name="pcakd-leftovers", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._leftovers.start()

    def add(self, event: dict[str, Any]) -> None:
        with self._state:
            self.journal.append(event)
            self._added += 1

    @contextmanager
    def run(self, name: str, parent: str | None, tags: Mapping[str, Any]) -> Iterator[Tracker]:
        with self._state:
            self._ids += 1
            run = f"{self.journal.folder.name}.{self._ids}"
        named = {f"pcakd.{key}": str(value) for key, value in tags.items()}
        self.add({"op": "run", "run": run, "parent": parent, "name": name, "time": _now(), "tags": named})
        status = "KILLED"  # cancelled, interrupted
        try:
            yield Tracker(self, run)
            status = "FINISHED"
        except Exception:
            status = "FAILED"
            raise
        finally:
            self.add({"op": "end", "run": run, "status": status, "time": _now()})

    def mlflow_run(self, run: str, timeout_s: float) -> str | None:
        self.flush(timeout_s)
        return self.sender.sent.runs.get(run)

    def flush(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        with self._state:
            wanted = self._added
            while self._done < wanted:
                self._wake.set()
                if (left := deadline - time.monotonic()) <= 0 or not self._thread.is_alive():
                    return False
                self._state.wait(min(left, 1.0))
        return True

    def finish(self) -> None:
        """Give the sender a last moment; what is not sent by then is sent by the next process."""
        sent = self.flush(LAST_TRY_S)
        if sent:  # MLflow answers, so what is left behind goes quickly, if at all
            self._leftovers.join(LEFTOVERS_S)
        self._stop.set()
        self._wake.set()
        self._thread.join(LAST_TRY_S)
        if sent and not self._thread.is_alive():
            self.journal.remove()
            return
        logger.warning(
            "MLflow at %s does not answer; what was tracked waits in %s and is sent by the next run, "
            "or by `pcakd send-tracking`",
            shown_uri(self.settings.tracking_uri),
            self.journal.folder,
        )
        self.journal.close()

    def _work(self) -> None:
        wait = SEND_EVERY_S
        while not self._stop.is_set():
            with self._state:
                target = self._added
            try:
                if target > self._done:
                    self.sender.send()
                    self._back()
                wait = SEND_EVERY_S
                with self._state:
                    self._done = target
                    self._state.notify_all()
            except Exception as error:  # whatever MLflow, its store or the network come up with
                self._away(error)
                wait = min(wait * 2, AGAIN_AT_MOST_S)
            if self._wake.wait(wait):
                self._wake.clear()
                if wait > SEND_EVERY_S and not self._stop.is_set():
                    self._stop.wait(1.0)  # somebody waits for it, but it has just failed

    def _send_leftovers(self) -> None:
        for uri, (count, said) in send_leftovers(self.settings).kept.items():
            logger.warning(
                "%d earlier runs still wait for MLflow at %s, which does not answer (%s); set MLFLOW_TRACKING_URI to "
                "send them elsewhere",
                count,
                shown_uri(uri),
                said,
            )

    def _away(self, error: Exception) -> None:
        if self._away_since is None:
            self._away_since = time.monotonic()
            logger.warning(
                "MLflow at %s does not answer (%s); the work goes on, what is tracked is kept in %s",
                shown_uri(self.settings.tracking_uri),
                " ".join(str(error).split())[:200],
                self.journal.folder,
            )

    def _back(self) -> None:
        if self._away_since is not None:
            logger.warning(
                "MLflow answers again after %.0f s; what this run tracked till now is sent",
                time.monotonic() - self._away_since,
            )
            self._away_since = None


class Leftovers(NamedTuple):
    """What became of the journals of processes that are gone.

    sent: how many. kept: the address that a journal waits for → (how many, what MLflow said).
    """

    sent: int
    kept: dict[str, tuple[int, str]]


def send_leftovers(settings: Settings) -> Leftovers:
    """Send the journals whose process is gone, ending their open runs as KILLED.

    They go to the address that MLFLOW_TRACKING_URI gives now, else each to its own. One that cannot be sent stays, and
    keeps no other from being sent; an address that did not answer once is not asked again.
    """
    count = 0
    kept: dict[str, tuple[int, str]] = {}
    for folder in sorted(settings.journals.glob("*/")):
        journal = None
        with suppress(OSError):
            journal = Journal.adopt(Path(folder))
        if journal is None:
            continue
        try:
            sender = Sender(journal.folder, uri=settings.tracking_uri if settings.tracking_given else "")
        except (StopIteration, KeyError):  # its process died before the first line was whole
            journal.remove()
            continue
        waiting, said = kept.get(sender.uri, (0, ""))
        try:
            if not waiting:
                sender.send()
                sender.close_as("KILLED")
        except Exception as error:  # whatever MLflow, its store or the network come up with
            said = " ".join(str(error).split())[:200]
        if said:
            kept[sender.uri] = (waiting + 1, said)
            journal.close()
            continue
        journal.remove()
        count += 1
    return Leftovers(count, kept)


def _now() -> int:
    return int(time.time() * 1000)
