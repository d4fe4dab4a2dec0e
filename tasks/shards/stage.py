"""Photos → shards."""

from itertools import islice
from typing import Any

from pcakd.shards.config import ShardConfig
from pcakd.shards.tables import listing_digest
from pcakd.storage import open_storage
from pcakd.storage.stage import StageOutput
from tasks.shards.job import STAGE, shard_dataset
from tasks.stages.run import StageResult, StageWork, run_stage, send_files, stage_task
from tasks.stages.session import Session
from tasks.tracking import Tracker


@stage_task("shard-dataset")
def shard_stage(session: Session, *, source: str, **options: Any) -> StageResult:
    """Shard a folder or prefix as it is listed now. options: the fields of `ShardConfig` beside source and dest."""
    # Validates the options before anything is listed.
    params = ShardConfig(source=source, dest="unused", **options).params()
    photos = open_storage(source)
    photos.check()
    inputs = {"source": photos.uri(), "listing": listing_digest(islice(photos.list(), options.get("limit")))}
    output = StageOutput.open(session.workspace, STAGE, inputs=inputs, params=params)

    def make(work: StageWork) -> dict[str, Any]:
        session.attach_ray()
        config = ShardConfig(source=source, dest=work.storage.uri(), **options)
        return shard_dataset(config, inputs=inputs, finish=work.finish).manifest

    return run_stage(session, output, make, report)


def report(output: StageOutput, manifest: dict[str, Any], run: Tracker) -> None:
    run.metrics({f"status.{name}": count for name, count in manifest["status"].items()})
    run.metrics({f"photos.{name}": split["rows"] for name, split in manifest["splits"].items()})
    run.tags({"pcakd.data_digest": manifest["digest"]})
    send_files(output, run, "overview.png", "stats.json", "manifest.json")
