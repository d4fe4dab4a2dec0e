"""Shards, eigenbases and a teacher → a student."""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pcakd.distillation.job import DistillConfig, prepare, run_here
from pcakd.distillation.recipe import Recipe, load_recipe
from pcakd.distillation.trainer import StepReport
from pcakd.shards import open_dataset
from pcakd.shards.dataset import ShardDataset
from pcakd.storage import open_storage, sha256_hex
from pcakd.storage.stage import StageOutput, read_manifest
from pcakd.student.checkpoint import load_checkpoint
from pcakd.stylize.options import Device
from pcakd.teacher import load_teacher
from tasks.lease import Lease
from tasks.stages.lineage import read_shards
from tasks.stages.progress import StageProgress
from tasks.stages.run import StageResult, StageWork, run_stage, send_files, stage_task
from tasks.stages.session import Session
from tasks.tracking import Tracker

STAGE = "students"
NAME = "student"
METRICS_EVERY_S = 2.0
"""Between two points of a curve; every step is in the losses file."""


@stage_task("distill-student")
def distill_stage(
    session: Session,
    *,
    shards: str,
    eigenbases: str,
    teacher: str,
    recipe: str = "",
    judge: str = "",
    steps: int | None = None,
    seed: int | None = None,
    device: Device = "auto",
    workers: int = 1,
    worker_cpus: int = 1,
    photos_licence: str = "",
    begin_with: str = "",
) -> StageResult:
    """Distil a student; goes on from the state that an interrupted run left behind.

    begin_with: a trained student that is gone on from, by an address that stays the same.
    """
    loaded = load_teacher(teacher)
    chosen = load_recipe(recipe or loaded.info.backbone)
    bases, dataset = read_manifest(open_storage(eigenbases)) or {}, open_dataset(shards)
    output = StageOutput.open(
        session.workspace,
        STAGE,
        inputs={
            "shards": dataset.digest,
            "eigenbases": bases.get("eigenbases_digest", ""),
            "teacher": loaded.digest,
        }
        | ({"begin_with": load_checkpoint(begin_with).digest} if begin_with else {})
        | ({"judge": load_teacher(judge).digest} if judge and chosen.style_photos else {}),
        params={"recipe": json.loads(chosen.to_json()), "steps": steps, "seed": seed},
    )

    def make(work: StageWork) -> dict[str, Any]:
        config = DistillConfig(
            shards=shards,
            eigenbases=eigenbases,
            teacher=teacher,
            judge=judge,
            begin_with=begin_with,
            out=work.storage.uri(f"{NAME}.safetensors"),
            recipe=recipe,
            steps=steps,
            seed=seed,
            device=device,
            photos_licence=photos_licence,
            resume=True,
        )
        train(config, work, workers, worker_cpus)
        return work.finish(_summary(work, begin_with) | {"recipe": in_words(chosen, recipe, steps)})

    return run_stage(session, output, make, partial(report, dataset))


def in_words(recipe: Recipe, name: str, steps: int | None) -> str:
    """A training in a few words. name: the recipe's name or file, "" for the backbone's own; steps: in its recipe's
    place."""
    called = Path(name).stem or recipe.backbone
    return f"{steps or recipe.steps:,} steps of {recipe.batch} crops of {recipe.crop} pixels (recipe `{called}`)"


def train(config: DistillConfig, work: StageWork, workers: int, worker_cpus: int = 1) -> None:
    """Train in this process; with several workers on Ray Train."""
    if workers > 1:
        work.session.attach_ray()
    job = replace(prepare(config), run=work.session.holder)
    with (
        StageProgress("distill-student", "Distilling the student") as progress,
        StepTracker(work.run, work.held, progress, job.recipe.steps) as tell,
    ):
        if workers == 1:
            run_here(job, tell)
            return
        from tasks.distillation.job import RayOptions
        from tasks.distillation.job import train as train_on_ray

        train_on_ray(job, RayOptions(workers=workers, cpus=worker_cpus), on_step=tell, check=work.held.claim.check)


class StepTracker:
    """Tells MLflow, Prefect and the log of each step, and stops a run that was overtaken.

    Each phase has a run of its own in MLflow, nested in the student's, from its first step here to its last.
    """

    def __init__(self, run: Tracker, held: Lease, progress: Callable[[float, str], None], steps: int) -> None:
        self.run, self.held, self.progress, self.steps = run, held, progress, steps
        self.tracked = time.monotonic()
        self.phase, self.pair = "", run
        self._open = ExitStack()

    def __enter__(self) -> "StepTracker":
        return self

    def __exit__(self, *exception: Any) -> None:
        self._open.__exit__(*exception)

    def __call__(self, step: StepReport) -> None:
        if step.phase.name != self.phase:
            self._begin(step)
        now = time.monotonic()
        if self.held.lost:
            self.held.check()
        due = now - self.tracked >= METRICS_EVERY_S or step.phase_step in (1, step.phase.steps)
        if due or step.validation:
            self.tracked = now
            values = {f"loss.{name}": value for name, value in step.losses.items()}
            values["photos_per_second"] = step.photos_per_second
            values |= {f"held_out.{name}": value for name, value in (step.validation or {}).items()}
            for run in (self.run, self.pair):
                run.metrics(values, step=step.step)
        self.progress(step.step / self.steps, f"{step.phase.name}, step {step.phase_step} of {step.phase.steps}")

    def _begin(self, step: StepReport) -> None:
        self._open.close()
        self.phase, self.pair = step.phase.name, self._open.enter_context(self.run.child(step.phase.name))
        self.pair.params({"steps": step.phase.steps, "first_step": step.step})


def _summary(work: StageWork, begin_with: str) -> dict[str, Any]:
    """The manifest's content; the model is kept under a name of its content, so that no later write can swap it."""
    data = work.storage.read(f"{NAME}.safetensors")
    with TemporaryDirectory(prefix="pcakd-") as folder:
        path = Path(folder) / f"{NAME}.safetensors"
        path.write_bytes(data)
        model = load_checkpoint(path)
    file = f"{NAME}-{model.digest[:16]}.safetensors"
    work.storage.write(file, data)
    return {
        "model": file,
        "model_sha256": sha256_hex(data),
        "model_digest": model.digest,
        "backbone": model.metadata.spec.backbone,
        "channels": list(model.metadata.spec.channels),
        "teacher": dict(model.metadata.teacher),
        "commit": model.metadata.commit,
        "metrics": dict(model.metadata.metrics),
        "begun_with": begin_with,
        "card": f"{NAME}.md",
        "run": work.session.holder,
    }


def report(dataset: ShardDataset, output: StageOutput, manifest: dict[str, Any], run: Tracker) -> None:
    """The finished student; each block pair had a run of its own while it was trained."""
    read_shards(run, dataset)
    run.params({"backbone": manifest["backbone"], "teacher_id": manifest["teacher"].get("id")})
    run.params({"begun_with": manifest.get("begun_with") or "the teacher"})
    run.tags({"pcakd.model_digest": manifest["model_digest"], "pcakd.commit": manifest["commit"]})
    run.metrics({f"final.{name}": value for name, value in manifest["metrics"].items()})
    send_files(
        output, run, f"{NAME}.md", f"{NAME}.losses.png", f"{NAME}.photos.png", f"{NAME}.losses.json", manifest["model"]
    )
