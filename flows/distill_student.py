"""Flow `distill-student`: shards, eigenbases and a teacher → a student."""

from prefect import flow

from flows.parameters import Distillation
from flows.reports import publish_stage
from tasks.distillation.stage import distill_stage
from tasks.stages.session import open_session


@flow(name="distill-student")
def distill_student(
    shards: str,
    eigenbases: str,
    teacher: str = "vgg19",
    parameters: Distillation | None = None,
    workspace: str | None = None,
) -> str:
    """Distil a student; an interrupted run is gone on with.

    Args:
        shards: Folder or s3:// prefix that shard-dataset wrote.
        eigenbases: Folder or s3:// prefix that fit-eigenbases wrote.
        teacher: Name or file of the teacher.
        parameters: How the student is trained.
        workspace: Folder or s3:// prefix of the stage outputs; empty: PCAKD_WORKSPACE.
    """
    options = (parameters or Distillation()).model_dump()
    with open_session("distill-student", workspace=workspace) as session:
        student = distill_stage(session, shards=shards, eigenbases=eigenbases, teacher=teacher, **options)
        publish_stage(student, student.manifest["metrics"])
        return f"{student.place}/{student.manifest['model']}"
