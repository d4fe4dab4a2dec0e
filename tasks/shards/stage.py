"""Photos → shards."""

import hashlib
from itertools import islice
from typing import Any

from pcakd.shards.config import ShardConfig
from pcakd.storage import Storage, open_storage
from pcakd.storage.stage import StageOutput
from tasks.stages.run import StageResult, StageWork, run_stage, send_files, stage_task
from tasks.stages.session import Session
from tasks.tracking import Tracker

STAGE = "shards"


@stage_task("shard-dataset")
def shard_stage(session: Session, *, source: str, **options: Any) -> StageResult:
    """Shard a folder or prefix as it is listed now. options: the fields of `ShardConfig` beside source and dest."""
    # Validates the options before anything is listed.
    params = ShardConfig(source=source, dest="unused", **options).params()
    photos = open_storage(source)
    photos.check()
    inputs = {"source": photos.uri(), "listing": listing_digest(photos, options.get("limit"))}
    output = StageOutput.open(session.workspace, STAGE, inputs=inputs, params=params)

    def make(work: StageWork) -> dict[str, Any]:
        from tasks.shards import shard_dataset

        session.attach_ray()
        config = ShardConfig(source=source, dest=work.storage.uri(), **options)
        return shard_dataset(config).manifest

    return run_stage(session, output, make, report)


def report(output: StageOutput, manifest: dict[str, Any], run: Tracker) -> None:
    run.metrics({f"status.{name}": count for name, count in manifest["status"].items()})
    run.metrics({f"photos.{name}": split["rows"] for name, split in manifest["splits"].items()})
    run.tags({"pcakd.data_digest": manifest["digest"]})
    send_files(output, run, "overview.png", "stats.json", "manifest.json")


def listing_digest(source: Storage, limit: int | None = None) -> str:
    """SHA-256 over key, size and ETag of the objects that are there now."""
    digest = hashlib.sha256()
    for entry in islice(source.list(), limit):
        digest.update(f"{entry.key}\0{entry.size}\0{entry.etag}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()
