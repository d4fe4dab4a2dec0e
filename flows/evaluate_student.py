"""Flow `evaluate-student`: a student → scores."""

from prefect import flow

from flows.parameters import Evaluation
from flows.reports import publish_stage
from tasks.evaluation.stage import evaluate_stage
from tasks.stages.session import open_session


@flow(name="evaluate-student")
def evaluate_student(
    model: str,
    photos: str,
    parameters: Evaluation | None = None,
    teacher: str | None = None,
    workspace: str | None = None,
) -> dict[str, float]:
    """Measure a student on photos whose right answer is known, and on pairs.

    Args:
        model: Built-in name, checkpoint file, or models:/NAME@ALIAS.
        photos: Sharded photos, or a folder or s3:// prefix of photos.
        parameters: What it is measured on.
        teacher: Name or file of the teacher whose features the style losses of pairs are measured in.
        workspace: Folder or s3:// prefix of the stage outputs; empty: PCAKD_WORKSPACE.
    """
    options = (parameters or Evaluation()).model_dump()
    photos = options.pop("photos") or photos
    with open_session("evaluate-student", workspace=workspace) as session:
        scores = evaluate_stage(session, model=model, photos=photos, teacher=teacher, **options)
        publish_stage(scores, scores.manifest["metrics"])
        return scores.manifest["metrics"]
