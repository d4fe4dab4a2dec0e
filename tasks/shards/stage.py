"""Photos → shards."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

from pcakd.shards.config import ShardConfig
from pcakd.shards.tables import listing_digest
from pcakd.storage import LocalStorage, ObjectInfo, Storage, open_storage
from pcakd.storage.stage import MANIFEST, StageOutput
from tasks.shards.job import JOB, STAGE, WORK, shard_dataset
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
    output = _output(session.workspace, photos, params)

    def make(work: StageWork) -> dict[str, Any]:
        session.attach_ray()
        config = ShardConfig(source=source, dest=work.storage.uri(), **options)
        return shard_dataset(config, inputs=output.inputs, finish=work.finish).manifest

    return run_stage(session, output, make, report)


def _output(workspace: Storage, photos: Storage, params: dict[str, Any]) -> StageOutput:
    """The output of the photos as they are listed now.

    One that was begun when local files were listed with other ETags is gone on with, under the key that it has.
    """

    def of(entries: Iterable[ObjectInfo]) -> StageOutput:
        inputs = {"source": photos.uri(), "listing": listing_digest(islice(entries, params["limit"]))}
        return StageOutput.open(workspace, STAGE, inputs=inputs, params=params)

    if isinstance(photos, LocalStorage):
        former = of(map(photos.former, photos.list()))
        if any(former.storage.exists(key) for key in (MANIFEST, f"{WORK}/{JOB}")):
            return former
    return of(photos.list())


def report(output: StageOutput, manifest: dict[str, Any], run: Tracker) -> None:
    run.metrics({f"status.{name}": count for name, count in manifest["status"].items()})
    run.metrics({f"photos.{name}": split["rows"] for name, split in manifest["splits"].items()})
    run.tags({"pcakd.data_digest": manifest["digest"]})
    send_files(output, run, "overview.png", "stats.json", "manifest.json")
