"""Flow `distillation-pipeline`: from a folder or bucket of photos to a registered, evaluated model."""

from datetime import UTC, datetime

from prefect import flow

from flows.parameters import Distillation, Eigenbases, Evaluation, Registration, Sharding
from flows.register_student import enter, measure
from flows.reports import PipelineResult, publish_pipeline
from pcakd.shards import open_dataset
from pcakd.shards.dataset import ShardDataset
from pcakd.teacher import load_teacher
from pcakd.units import counted
from tasks.distillation.stage import distill_stage
from tasks.eigenbases.stage import eigenbases_stage
from tasks.preflight.checks import Wanted
from tasks.preflight.stage import preflight_stage
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
) -> PipelineResult:
    """Shard, fit eigenbases, distil, evaluate, register. Run again, only what is missing is done.

    First all that these need is checked: what is wrong is told, all of it, before anything is begun.

    Args:
        sharding: What to shard, and how.
        teacher: Name or file of the teacher; a built-in student is one, too.
        eigenbases: How the eigenbases are fitted.
        distillation: How the student is trained.
        evaluation: What student and champion are measured on.
        registration: When the student becomes the champion.
        workspace: Folder or s3:// prefix of the stage outputs; empty: PCAKD_WORKSPACE.
    """
    eigenbases, distillation = eigenbases or Eigenbases(), distillation or Distillation()
    evaluation, registration = evaluation or Evaluation(), registration or Registration()
    with open_session("distillation-pipeline", workspace=workspace) as session:
        preflight_stage(session, wanted(sharding, teacher, eigenbases, distillation, evaluation))
        session.tracker.params({"source": sharding.source, "teacher": teacher})
        shards = shard_stage(session, **sharding.model_dump())
        dataset = open_dataset(shards.place)
        session.tracker.rename(run_name(load_teacher(teacher).info.backbone, dataset))
        read_shards(session.tracker, dataset)
        bases = eigenbases_stage(session, shards=shards.place, teacher=teacher, **eigenbases.model_dump())
        student = distill_stage(
            session, shards=shards.place, eigenbases=bases.place, teacher=teacher, **distillation.model_dump()
        )
        model = f"{student.place}/{student.manifest['model']}"
        photos = evaluation.photos or shards.place
        scores = measure(session, model, photos, evaluation, teacher)
        made_of = {"pcakd.photos": photo_count(dataset), "pcakd.generation": shards.manifest.get("generation", 1)}
        entered = enter(session, model, scores, photos, registration, evaluation, teacher, made_of)
        result = PipelineResult(shards, bases, student, scores, model, entered)
        publish_pipeline(result, session)
        return result


def run_name(backbone: str, dataset: ShardDataset) -> str:
    """What a pipeline run is called in MLflow, as "vgg 2026-11-25, 1,200 photos"."""
    return f"{backbone} {datetime.now(UTC):%Y-%m-%d}, {counted(photo_count(dataset), 'photo')}"


def wanted(
    sharding: Sharding, teacher: str, eigenbases: Eigenbases, distillation: Distillation, evaluation: Evaluation
) -> Wanted:
    """What a run's parameters ask for, as far as it is checked before the run."""
    return Wanted(
        teacher=teacher,
        **sharding.model_dump(include={"source", "shortest_side", "limit"}),
        **eigenbases.model_dump(include={"channels", "variance"}),
        **distillation.model_dump(include={"recipe", "judge", "device", "workers", "worker_cpus"}),
        **evaluation.model_dump(include={"photos", "pairs"}),
    )
