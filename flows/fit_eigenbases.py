"""Flow `fit-eigenbases`: shards and a teacher → eigenbases."""

from prefect import flow

from flows.parameters import Eigenbases
from flows.reports import publish_stage
from tasks.eigenbases.stage import eigenbases_stage
from tasks.stages.session import open_session


@flow(name="fit-eigenbases")
def fit_eigenbases(
    shards: str, teacher: str = "vgg19", parameters: Eigenbases | None = None, workspace: str | None = None
) -> str:
    """Fit the eigenbases of a teacher on sharded photos.

    Args:
        shards: Folder or s3:// prefix that shard-dataset wrote.
        teacher: Name or file of the teacher.
        parameters: How they are fitted.
        workspace: Folder or s3:// prefix of the stage outputs; empty: PCAKD_WORKSPACE.
    """
    options = (parameters or Eigenbases()).model_dump()
    with open_session("fit-eigenbases", workspace=workspace) as session:
        bases = eigenbases_stage(session, shards=shards, teacher=teacher, **options)
        publish_stage(bases, {f"explained {i}": share for i, share in enumerate(bases.manifest["explained"])})
        return bases.place
