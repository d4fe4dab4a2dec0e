"""Flow `register-student`: a checkpoint → a version in the registry, and perhaps the champion."""

from prefect import flow

from flows.parameters import Evaluation, Registration
from flows.reports import publish_registration
from pcakd.fields import chosen
from tasks.evaluation.stage import evaluate_stage
from tasks.registry import Floors, Gate, Registered, Rivals
from tasks.registry.stage import RegistrationOutcome, champion_stage, register_stage
from tasks.stages.run import StageResult
from tasks.stages.session import Session, open_session

TRIES = 3
"""For champion, while others become it."""


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
    """Register a measured model and let it try for champion; its rivals are measured on the same photos.

    When the champion changes meanwhile it tries again, against the new one.
    """
    gate = Gate(axes=parameters.axes, tolerance=parameters.tolerance, floors=chosen(Floors, parameters.model_dump()))
    for _ in range(TRIES):
        incumbents = champion_stage(session, backbone=scores.manifest["backbone"])

        def rival(version: Registered | None) -> dict[str, float] | None:
            if version is None or version.digest == scores.manifest["model_digest"]:
                return None
            return measure(session, version.uri, photos, evaluation, teacher).manifest["metrics"]

        champion, set_back = incumbents.champion, incumbents.set_back
        result = register_stage(
            session,
            model=model,
            scores=scores.manifest["metrics"],
            baselines=scores.manifest["baselines"],
            rivals=Rivals(
                champion=rival(champion),
                champion_version=champion.version if champion else None,
                set_back=rival(set_back),
                set_back_version=set_back.version if set_back else None,
            ),
            gate=gate,
            facts={"pcakd.evaluation": scores.key, "pcakd.evaluation_place": scores.place},
        )
        if not result.decision.moved:
            break
        session.log.warning("%s: %s; it tries again", result.registered.uri, result.decision.reason)
    return result
