"""Flow `shard-dataset`: a folder or bucket of photos → Parquet shards."""

from prefect import flow

from flows.parameters import Sharding
from flows.reports import publish_stage
from tasks.shards.stage import shard_stage
from tasks.stages.session import open_session


@flow(name="shard-dataset")
def shard_dataset(parameters: Sharding, workspace: str | None = None) -> str:
    """Shard the photos that are there now; those of an earlier run are found again.

    Args:
        parameters: What to shard, and how.
        workspace: Folder or s3:// prefix of the stage outputs; empty: PCAKD_WORKSPACE.
    """
    with open_session("shard-dataset", workspace=workspace) as session:
        shards = shard_stage(session, **parameters.model_dump())
        publish_stage(shards, shards.manifest["status"])
        return shards.place
