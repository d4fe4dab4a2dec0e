"""Flow `register-student`: a checkpoint → a version in the registry, and perhaps the champion."""

from collections.abc import Mapping
from typing import Any

from prefect import flow

from flows.parameters import Evaluation, Registration, Shadow
from flows.reports import publish_champion, publish_registration
from pcakd.fields import chosen
from tasks.evaluation.stage import evaluate_stage
from tasks.registry import Floors, Gate, Registered, Rivals
from tasks.registry.shadow import shadow_stage, too_different
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
        publish_registration(result, scores, session)
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
    made_of: Mapping[str, Any] | None = None,
) -> RegistrationOutcome:
    """Register a measured model and let it try for champion; its rivals are measured on the same photos.

    When the champion changes meanwhile it tries again, against the new one. made_of: tags of what it was trained on.
    """
    gate = Gate(axes=parameters.axes, tolerance=parameters.tolerance, floors=chosen(Floors, parameters.model_dump()))
    for _ in range(TRIES):
        incumbents = champion_stage(session, backbone=scores.manifest["backbone"])

        def rival(version: Registered | None) -> dict[str, float] | None:
            if version is None or version.digest == scores.manifest["model_digest"]:
                return None
            return measure(session, version.uri, photos, evaluation, teacher).manifest["metrics"]

        champion, set_back = incumbents.champion, incumbents.set_back
        pictures = scores.manifest.get("pictures", [])
        held, shadow = beside(session, model, champion, scores.manifest["model_digest"], parameters.shadow)
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
            facts={"pcakd.evaluation": scores.key, "pcakd.evaluation_place": scores.place, **(made_of or {}), **shadow},
            held=held,
            picture=f"{scores.place}/{pictures[0]}" if pictures else "",
        )
        if not result.decision.moved:
            break
        session.log.warning("%s: %s; it tries again", result.registered.uri, result.decision.reason)
    if result.decision.promoted:
        publish_champion(result)
    return result


def beside(
    session: Session, model: str, champion: Registered | None, digest: str, parameters: Shadow | None
) -> tuple[str, dict[str, str]]:
    """Why a shadow run beside the champion holds a student back, "" where it does not; and where the run's page is."""
    if parameters is None or champion is None or champion.digest == digest:
        return "", {}
    options = parameters.model_dump(exclude={"at_most"})
    shadow = shadow_stage(session, challenger=model, champion=champion.uri, **options)
    place = f"{shadow.place}/{shadow.manifest['page']}"
    return too_different(shadow.manifest, parameters.at_most), {"pcakd.shadow": place}
