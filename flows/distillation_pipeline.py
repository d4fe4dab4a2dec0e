"""Flow `distillation-pipeline`: from a folder or bucket of photos to a registered, evaluated model."""

from datetime import UTC, datetime

from prefect import flow
from prefect.states import Completed, State

from flows.parameters import Distillation, Drift, Eigenbases, Evaluation, Registration, Sharding
from flows.register_student import enter, measure
from flows.reports import PipelineResult, publish_drift, publish_pipeline
from pcakd.distillation.recipe import load_recipe
from pcakd.drift.options import DriftPolicy
from pcakd.fields import chosen
from pcakd.shards import open_dataset
from pcakd.shards.dataset import ShardDataset
from pcakd.student.checkpoint import load_checkpoint
from pcakd.student.network import StudentSpec
from pcakd.teacher import load_teacher
from pcakd.units import counted
from tasks.distillation.stage import distill_stage
from tasks.drift.stage import drift_stage
from tasks.eigenbases.stage import eigenbases_stage
from tasks.preflight.checks import Wanted
from tasks.preflight.stage import preflight_stage
from tasks.registry.names import GENERATION_TAG, PHOTOS_TAG, RECIPE_TAG
from tasks.shards.stage import shard_stage
from tasks.stages.lineage import photo_count, read_shards
from tasks.stages.session import open_session


@flow(name="distillation-pipeline")
def distillation_pipeline(
    sharding: Sharding,
    teacher: str = "vgg19",
    eigenbases: Eigenbases | None = None,
    distillation: Distillation | None = None,
    evaluation: Evaluation | None = None,
    registration: Registration | None = None,
    workspace: str | None = None,
    drift: Drift | None = None,
) -> PipelineResult | State:
    """Shard, fit eigenbases, measure drift, distil, evaluate, register. Run again, only what is missing is done.

    First all that these need is checked: what is wrong is told, all of it, before anything is begun. Where drift says
    so the run ends before the training, in the state "Completed: nothing worth training for".

    Args:
        sharding: What to shard, and how.
        teacher: Name or file of the teacher; a built-in student is one, too.
        eigenbases: How the eigenbases are fitted.
        distillation: How the student is trained.
        evaluation: What student and champion are measured on.
        registration: When the student becomes the champion.
        workspace: Folder or s3:// prefix of the stage outputs; empty: PCAKD_WORKSPACE.
        drift: Whether it trains, and from what, by how far the photos have moved.
    """
    eigenbases, distillation = eigenbases or Eigenbases(), distillation or Distillation()
    evaluation, registration = evaluation or Evaluation(), registration or Registration()
    policy = chosen(DriftPolicy, (drift or Drift()).model_dump())
    with open_session("distillation-pipeline", workspace=workspace) as session:
        preflight_stage(session, wanted(sharding, teacher, eigenbases, distillation, evaluation))
        eigenbases = of_widths(eigenbases, distillation.begin_with)
        session.tracker.params({"source": sharding.source, "teacher": teacher})
        shards = shard_stage(session, **sharding.model_dump())
        dataset = open_dataset(shards.place)
        session.tracker.rename(run_name(load_teacher(teacher).info.backbone, dataset))
        read_shards(session.tracker, dataset)
        bases = eigenbases_stage(session, shards=shards.place, teacher=teacher, **eigenbases.model_dump())
        moved, verdict, champion = drift_stage(
            session,
            shards=shards.place,
            eigenbases=bases,
            teacher=teacher,
            policy=policy,
            **eigenbases.model_dump(),
        )
        begin_with, steps = distillation.begin_with, distillation.steps
        publish_drift(moved, verdict, begin_with)
        if policy.train == "if-worth" and not verdict.worth:
            session.tracker.tags({"pcakd.outcome": "nothing worth training for"})
            return Completed(message=f"nothing worth training for: {verdict.why}")
        if not begin_with and verdict.start == "champion" and champion is not None:
            begin_with, steps = champion.uri, short_steps(teacher, distillation, policy.short)
        session.tracker.params({"start": begin_with or "the teacher"})
        student = distill_stage(
            session,
            shards=shards.place,
            eigenbases=bases.place,
            teacher=teacher,
            **(distillation.model_dump() | {"begin_with": begin_with, "steps": steps}),
        )
        model = f"{student.place}/{student.manifest['model']}"
        photos = evaluation.photos or shards.place
        scores = measure(session, model, photos, evaluation, teacher)
        made_of = {
            PHOTOS_TAG: photo_count(dataset),
            GENERATION_TAG: shards.manifest.get("generation", 1),
            RECIPE_TAG: student.manifest.get("recipe", ""),
        }
        entered = enter(session, model, scores, photos, registration, evaluation, teacher, made_of)
        result = PipelineResult(shards, bases, student, scores, model, entered)
        publish_pipeline(result, session)
        return result


def of_widths(eigenbases: Eigenbases, begin_with: str) -> Eigenbases:
    """The parameters with the widths of the student that is gone on from, "" for none, where no widths are asked for.

    The paper's widths are left unsaid, as ever: a stage's identity is made of its parameters, and what is there of
    earlier runs is to be found again.
    """
    if not begin_with or eigenbases.channels is not None or eigenbases.variance is not None:
        return eigenbases
    spec = load_checkpoint(begin_with).metadata.spec
    if spec == StudentSpec.default(spec.backbone):
        return eigenbases
    return Eigenbases(**eigenbases.model_dump() | {"channels": spec.channels})


def run_name(backbone: str, dataset: ShardDataset) -> str:
    """What a pipeline run is called in MLflow, as "vgg 2026-11-25, 1,200 photos"."""
    return f"{backbone} {datetime.now(UTC):%Y-%m-%d}, {counted(photo_count(dataset), 'photo')}"


def short_steps(teacher: str, distillation: Distillation, share: float) -> int:
    """Steps of a training that goes on from the champion."""
    steps = distillation.steps or load_recipe(distillation.recipe or load_teacher(teacher).info.backbone).steps
    return max(1, round(steps * share))


def wanted(
    sharding: Sharding, teacher: str, eigenbases: Eigenbases, distillation: Distillation, evaluation: Evaluation
) -> Wanted:
    """What a run's parameters ask for, as far as it is checked before the run."""
    return Wanted(
        teacher=teacher,
        **sharding.model_dump(include={"source", "shortest_side", "limit"}),
        **eigenbases.model_dump(include={"channels", "variance"}),
        **distillation.model_dump(include={"recipe", "judge", "begin_with", "device", "workers", "worker_cpus"}),
        **evaluation.model_dump(include={"photos", "pairs"}),
    )
