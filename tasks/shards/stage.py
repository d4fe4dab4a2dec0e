"""Photos → shards."""

import json
from dataclasses import replace
from typing import Any

from pcakd.shards.config import ShardConfig
from pcakd.shards.dataset import generation_place
from pcakd.storage import Storage, open_storage
from pcakd.storage.stage import MANIFEST, StageOutput, canonical_json
from tasks.shards.generation import JOB, STAGE, WORK
from tasks.shards.job import shard_dataset
from tasks.stages.run import StageResult, StageWork, run_stage, send_files, stage_task
from tasks.stages.session import Session
from tasks.tracking import Tracker

PLACE = "place.json"
"""Of a dataset that was made under a key of its listing: the name of the folder where it goes on growing."""


@stage_task("shard-dataset")
def shard_stage(session: Session, *, source: str, **options: Any) -> StageResult:
    """Shard a folder or prefix, or take what is new there into its shards. The place is that of the generation, which
    stays what it is when the dataset grows. options: the fields of `ShardConfig` beside source and dest."""
    # Validates the options before anything is listed.
    params = ShardConfig(source=source, dest="unused", **options).params()
    photos = open_storage(source)
    photos.check()
    inputs = {"source": photos.uri()}
    output = StageOutput.open(session.workspace, STAGE, inputs=inputs, params=params)
    output = StageOutput.at(_place(session.workspace, output), STAGE, inputs=inputs, params=params)

    def make(work: StageWork) -> dict[str, Any]:
        config = ShardConfig(source=source, dest=work.storage.uri(), **options)
        return shard_dataset(config, finish=work.finish, attach=session.attach_ray).manifest

    result = run_stage(session, output, make, report, grows=True)
    return replace(result, place=generation_place(result.place, result.manifest))


def _place(workspace: Storage, output: StageOutput) -> Storage:
    """Where the dataset grows: its own folder, or that of the newest dataset, finished or begun, of the same source and
    parameters from when each listing had a folder of its own."""
    own = output.storage
    if own.exists(MANIFEST) or own.exists(f"{WORK}/{JOB}"):
        return own
    if own.exists(PLACE):
        return workspace.sub(f"{STAGE}/{json.loads(own.read(PLACE))['place']}")
    newest: tuple[float, str] | None = None
    for entry in workspace.list(f"{STAGE}/"):
        _, name, file = entry.key.split("/", 2)
        if file not in (MANIFEST, f"{WORK}/{JOB}"):
            continue
        record = json.loads(workspace.read(entry.key))
        same = (record.get("source"), record.get("params")) == (output.inputs["source"], dict(output.params))
        if same and (newest is None or entry.mtime > newest[0]):
            newest = entry.mtime, name
    if newest is None:
        return own
    own.write(PLACE, canonical_json({"place": newest[1]}))
    return workspace.sub(f"{STAGE}/{newest[1]}")


def report(output: StageOutput, manifest: dict[str, Any], run: Tracker) -> None:
    run.metrics({f"status.{name}": count for name, count in manifest["status"].items()})
    run.metrics({f"photos.{name}": split["rows"] for name, split in manifest["splits"].items()})
    run.metrics({f"changes.{name}": count for name, count in manifest.get("changes", {}).items()})
    run.metrics({"generation": manifest["generation"]})
    run.tags({"pcakd.data_digest": manifest["digest"]})
    send_files(output, run, "overview.png", "stats.json", "manifest.json")
