"""Sends a journal to MLflow: in order, in batches, safe to repeat.

A run is found again by the tag `pcakd.run`, metrics and parameters sent twice count once, files are
overwritten by themselves. So a sender may die anywhere, and another one goes on from `sent.json`.
"""

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

from tasks.tracking.journal import FILES, Sent, read_events
from tasks.tracking.store import client_for, prepare_store

logger = logging.getLogger(__name__)

RUN_TAG = "pcakd.run"
METRICS_A_CALL, PARAMS_A_CALL, VALUE_LIMIT = 1000, 100, 6000
DIGEST_LIMIT = 36
"""Characters of a dataset's digest that MLflow keeps."""

# What a repetition does not mend: the event is left out, and the log says so.
_HOPELESS = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE", "BAD_REQUEST"}


class Sender:
    """Of one journal, for one thread at a time. uri: where to, instead of the address that the journal names."""

    def __init__(self, folder: Path, *, uri: str = "") -> None:
        self.folder = folder
        header, _ = next(read_events(folder))
        self.uri: str = uri or header["uri"]
        sent = Sent.load(folder)
        # What another server was sent is not there: from the beginning. The same one at a new address knows its runs.
        self.sent = sent if (sent.uri or header["uri"]) == self.uri else Sent()
        self.sent.uri = self.uri
        self.experiment: str = header["experiment"]
        self._client: Any = None
        self.experiment_id = ""
        self._metrics: dict[str, list] = {}

    def send(self) -> None:
        """Send what is new. Raises what MLflow raises when it is away; calling again goes on there."""
        if self._client is None:
            self.experiment_id = prepare_store(self.uri, self.experiment)
            self._client = client_for(self.uri)
        self._metrics.clear()
        offset = self.sent.offset
        for event, behind in read_events(self.folder, offset):
            if event["op"] == "metrics":
                self._metrics.setdefault(event["run"], []).extend(event["rows"])
            else:
                # Metrics collect until something else comes: their order among themselves means nothing.
                self._send_metrics(offset)
                self._guarded(event)
                self.sent.offset = behind
                self.sent.save(self.folder)
            offset = behind
        self._send_metrics(offset)

    def close_as(self, status: str) -> None:
        """End every run that the journal left open."""
        runs = [event["run"] for event, _ in read_events(self.folder) if event["op"] == "run"]
        ended = {event["run"] for event, _ in read_events(self.folder) if event["op"] == "end"}
        for run in runs:
            if run not in ended and run in self.sent.runs:
                self._client.set_terminated(self.sent.runs[run], status)

    def _send_metrics(self, offset: int) -> None:
        from mlflow.entities import Metric

        for run, rows in self._metrics.items():
            for start in range(0, len(rows), METRICS_A_CALL):
                batch = [
                    Metric(key, value, when, step) for key, value, step, when in rows[start : start + METRICS_A_CALL]
                ]
                self._call(lambda run=run, batch=batch: self._client.log_batch(self.sent.runs[run], metrics=batch))
        if self._metrics:
            self._metrics.clear()
            self.sent.offset = offset
            self.sent.save(self.folder)

    def _guarded(self, event: dict[str, Any]) -> None:
        self._call(lambda: self._apply(event))

    def _call(self, call: Any) -> None:
        from mlflow.exceptions import MlflowException

        try:
            call()
        except MlflowException as error:
            if error.error_code not in _HOPELESS:
                raise
            logger.warning("MLflow refuses an entry, it is left out: %s", " ".join(str(error).split())[:300])
        except KeyError as error:  # of a run that MLflow refused
            logger.warning("an entry of the run %s is left out: MLflow does not have that run", error)

    def _apply(self, event: dict[str, Any]) -> None:
        from mlflow.entities import Param, RunTag

        op = event["op"]
        if op == "run":
            self._start(event)
        elif op == "params":
            params = [Param(key, value[:VALUE_LIMIT]) for key, value in event["values"].items()]
            for start in range(0, len(params), PARAMS_A_CALL):
                self._client.log_batch(self.sent.runs[event["run"]], params=params[start : start + PARAMS_A_CALL])
        elif op == "tags":
            tags = [RunTag(key, value) for key, value in event["values"].items()]
            self._client.log_batch(self.sent.runs[event["run"]], tags=tags)
        elif op == "name":
            self._client.update_run(self.sent.runs[event["run"]], name=event["name"])
        elif op == "dataset":
            self._send_dataset(event)
        elif op == "file":
            self._send_file(event)
        elif op == "end":
            self._client.set_terminated(self.sent.runs[event["run"]], event["status"], event["time"])

    def _start(self, event: dict[str, Any]) -> None:
        tags = {**event["tags"], RUN_TAG: event["run"]}
        if event["parent"]:
            tags["mlflow.parentRunId"] = self.sent.runs[event["parent"]]
        found = self._client.search_runs([self.experiment_id], f"tags.`{RUN_TAG}` = '{event['run']}'", max_results=1)
        run = found[0] if found else self._client.create_run(self.experiment_id, event["time"], tags, event["name"])
        self.sent.runs[event["run"]] = run.info.run_id

    def _send_dataset(self, event: dict[str, Any]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        source = json.dumps({"uri": event["source"]})
        dataset = Dataset(
            event["name"],
            event["digest"][:DIGEST_LIMIT],
            "s3" if event["source"].startswith("s3://") else "local",
            source,
            profile=json.dumps(event["profile"]),
        )
        tags = [InputTag("mlflow.data.context", event["context"])]
        self._client.log_inputs(self.sent.runs[event["run"]], [DatasetInput(dataset, tags)])

    def _send_file(self, event: dict[str, Any]) -> None:
        path = Path(event["path"])
        kept = self.folder / FILES / event["file"]
        if not kept.exists():  # sent before; only its mark was lost
            return
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            named = Path(folder) / path.name
            named.hardlink_to(kept)
            self._client.log_artifact(
                self.sent.runs[event["run"]], str(named), str(path.parent) if len(path.parts) > 1 else None
            )
        kept.unlink()
