"""Flow `register-student`: a checkpoint → a version in the registry, and perhaps the champion."""

from prefect import flow

from flows.parameters import Evaluation, Registration
from flows.reports import publish_registration
from tasks.evaluation.stage import evaluate_stage
from tasks.registry import Gate
from tasks.registry.stage import RegistrationOutcome, champion_stage, register_stage
from tasks.stages.run import StageResult
from tasks.stages.session import Session, open_session


@flow(name="register-student")
def register_student(
    model: str,
    photos: str,
    parameters: Registration | None = None,
    evaluation: Evaluation | None = None,
    teacher: str | None = None,
    workspace: str | None = None,
) -> str:
    """Measure a checkpoint and the champion on the same photos, register it, let it try for champion.

    Args:
        model: Checkpoint file, local or on S3.
        photos: Sharded photos, or a folder or s3:// prefix of photos, to measure both on.
        parameters: When it becomes the champion.
        evaluation: What both are measured on.
        teacher: Name or file of the teacher whose features the style losses of pairs are measured in.
        workspace: Folder or s3:// prefix of the stage outputs; empty: PCAKD_WORKSPACE.
    """
    with open_session("register-student", workspace=workspace) as session:
        evaluation = evaluation or Evaluation()
        place = evaluation.photos or photos
        scores = measure(session, model, place, evaluation, teacher)
        result = enter(session, model, scores, place, parameters or Registration(), evaluation, teacher)
        publish_registration(result, scores)
        return result.registered.uri


def measure(session: Session, model: str, photos: str, evaluation: Evaluation, teacher: str | None) -> StageResult:
    """The scores of a model on the photos of an evaluation."""
    options = evaluation.model_dump(exclude={"photos"})
    return evaluate_stage(session, model=model, photos=photos, teacher=teacher, **options)


def enter(
    session: Session,
    model: str,
    scores: StageResult,
    photos: str,
    parameters: Registration,
    evaluation: Evaluation,
    teacher: str | None,
) -> RegistrationOutcome:
    """Register a measured model; its rival is the champion, measured on the same photos."""
    champion = champion_stage(session, backbone=scores.manifest["backbone"])
    rival = None
    if champion is not None and champion.digest != scores.manifest["model_digest"]:
        rival = measure(session, champion.uri, photos, evaluation, teacher).manifest["metrics"]
    return register_stage(
        session,
        model=model,
        metrics=scores.manifest["metrics"],
        champion_metrics=rival,
        gate=Gate(axes=parameters.axes, tolerance=parameters.tolerance),
        facts={"pcakd.evaluation": scores.key, "pcakd.evaluation_place": scores.place},
    )
