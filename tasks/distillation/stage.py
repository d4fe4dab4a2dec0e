"""Shards, eigenbases and a teacher → a student."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pcakd.distillation.job import DistillConfig, prepare, run_here
from pcakd.distillation.recipe import load_recipe
from pcakd.distillation.trainer import StepReport
from pcakd.shards import open_dataset
from pcakd.storage import open_storage, sha256_hex
from pcakd.storage.stage import StageOutput, read_manifest
from pcakd.student.checkpoint import load_checkpoint
from pcakd.stylize.options import Device
from pcakd.teacher import load_teacher
from tasks.lease import Lease
from tasks.stages.progress import StageProgress
from tasks.stages.run import StageResult, StageWork, run_stage, send_files, stage_task
from tasks.stages.session import Session
from tasks.tracking import Tracker

STAGE = "students"
NAME = "student"
METRICS_EVERY_S = 2.0
POINTS = 500
"""Points of a curve in a block pair's run; every step is in the losses file."""


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
) -> StageResult:
    """Distil a student; goes on from the state that an interrupted run left behind."""
    loaded = load_teacher(teacher)
    chosen = load_recipe(recipe or loaded.info.backbone)
    bases = read_manifest(open_storage(eigenbases)) or {}
    output = StageOutput.open(
        session.workspace,
        STAGE,
        inputs={
            "shards": open_dataset(shards).digest,
            "eigenbases": bases.get("eigenbases_digest", ""),
            "teacher": loaded.digest,
        }
        | ({"judge": load_teacher(judge).digest} if judge and chosen.style_photos else {}),
        params={"recipe": json.loads(chosen.to_json()), "steps": steps, "seed": seed},
    )

    def make(work: StageWork) -> dict[str, Any]:
        config = DistillConfig(
            shards=shards,
            eigenbases=eigenbases,
            teacher=teacher,
            judge=judge,
            out=work.storage.uri(f"{NAME}.safetensors"),
            recipe=recipe,
            steps=steps,
            seed=seed,
            device=device,
            photos_licence=photos_licence,
            resume=True,
        )
        train(config, work, workers, worker_cpus)
        return work.finish(_summary(work))

    return run_stage(session, output, make, report)


def train(config: DistillConfig, work: StageWork, workers: int, worker_cpus: int = 1) -> None:
    """Train in this process; with several workers on Ray Train."""
    if workers > 1:
        work.session.attach_ray()
    job = replace(prepare(config), run=work.session.holder)
    with StageProgress("distill-student", "Distilling the student") as progress:
        tell = StepTracker(work.run, work.held, progress, job.recipe.steps)
        if workers == 1:
            run_here(job, tell)
            return
        from tasks.distillation.job import RayOptions
        from tasks.distillation.job import train as train_on_ray

        train_on_ray(job, RayOptions(workers=workers, cpus=worker_cpus), on_step=tell, check=work.held.claim.check)


class StepTracker:
    """Tells MLflow, Prefect and the log of each step, and stops a run that was overtaken."""

    def __init__(self, run: Tracker, held: Lease, progress: Callable[[float, str], None], steps: int) -> None:
        self.run, self.held, self.progress, self.steps = run, held, progress, steps
        self.checked = self.tracked = time.monotonic()

    def __call__(self, step: StepReport) -> None:
        now = time.monotonic()
        if self.held.lost:
            self.held.check()
        due = now - self.tracked >= METRICS_EVERY_S or step.step == self.steps
        if due or step.validation:
            self.tracked = now
            values = {f"loss.{name}": value for name, value in step.losses.items()}
            values["photos_per_second"] = step.photos_per_second
            values |= {f"held_out.{name}": value for name, value in (step.validation or {}).items()}
            self.run.metrics(values, step=step.step)
        self.progress(step.step / self.steps, f"{step.phase.name}, step {step.phase_step} of {step.phase.steps}")


def _summary(work: StageWork) -> dict[str, Any]:
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
        "card": f"{NAME}.md",
        "run": work.session.holder,
    }


def report(output: StageOutput, manifest: dict[str, Any], run: Tracker) -> None:
    """The finished student, and a nested run for each block pair."""
    run.params({"backbone": manifest["backbone"], "teacher_id": manifest["teacher"].get("id")})
    run.tags({"pcakd.model_digest": manifest["model_digest"], "pcakd.commit": manifest["commit"]})
    run.metrics({f"final.{name}": value for name, value in manifest["metrics"].items()})
    send_files(
        output, run, f"{NAME}.md", f"{NAME}.losses.png", f"{NAME}.photos.png", f"{NAME}.losses.json", manifest["model"]
    )
    if not output.storage.exists(f"{NAME}.losses.json"):
        return
    history = json.loads(output.storage.read(f"{NAME}.losses.json"))["history"]
    for phase in dict.fromkeys(row["stage"] for row in history):
        rows = [row for row in history if row["stage"] == phase]
        with run.child(phase) as pair:
            pair.params({"steps": len(rows), "first_step": rows[0]["step"]})
            for row in rows[:: -(-len(rows) // POINTS)] + rows[-1:]:
                values = {f"loss.{k}": v for k, v in row.items() if isinstance(v, float)}
                values |= {f"held_out.{k}": v for k, v in (row.get("validation") or {}).items()}
                pair.metrics(values, step=row["step"])
