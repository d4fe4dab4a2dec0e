"""Flow `shard-dataset`: a folder or bucket of photos → Parquet shards."""

from prefect import flow

from flows.parameters import Drift, Eigenbases, Sharding
from flows.reports import publish_drift, publish_stage
from pcakd.drift.options import DriftPolicy
from pcakd.fields import chosen
from pcakd.teacher import load_teacher
from tasks.drift.stage import drift_stage
from tasks.eigenbases.stage import eigenbases_stage
from tasks.shards.stage import shard_stage
from tasks.stages.session import open_session


@flow(name="shard-dataset")
def shard_dataset(
    parameters: Sharding,
    workspace: str | None = None,
    teacher: str | None = None,
    eigenbases: Eigenbases | None = None,
    drift: Drift | None = None,
) -> str:
    """Shard the photos that are there now, or take what is new into the shards of an earlier run.

    With a teacher the generation's eigenbases are fitted, too, and it is measured how far it has moved.

    Args:
        parameters: What to shard, and how.
        workspace: Folder or s3:// prefix of the stage outputs; empty: PCAKD_WORKSPACE.
        teacher: Name or file of the teacher that drift is measured with; empty: it is not.
        eigenbases: How the eigenbases are fitted.
        drift: From where on to warn.
    """
    with open_session("shard-dataset", workspace=workspace) as session:
        if teacher:
            load_teacher(teacher)  # one that is not to be had is told before hours of sharding
        shards = shard_stage(session, **parameters.model_dump())
        publish_stage(shards, shards.manifest["status"])
        if teacher:
            options = (eigenbases or Eigenbases()).model_dump()
            policy = chosen(DriftPolicy, (drift or Drift()).model_dump())
            bases = eigenbases_stage(session, shards=shards.place, teacher=teacher, **options)
            moved, verdict, _ = drift_stage(
                session, shards=shards.place, eigenbases=bases, teacher=teacher, policy=policy, **options
            )
            publish_drift(moved, verdict)
        return shards.place
