"""One distillation from what a user names to the files it leaves, whatever trains in between.

Beside the model NAME.safetensors stand its card NAME.md, NAME.state.pt (the training state, for --resume),
NAME.losses.json, NAME.losses.png and NAME.photos.png.
"""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from pcakd.distillation.card import Origin, model_card
from pcakd.distillation.config import DistillConfig
from pcakd.distillation.data import PhotoSet
from pcakd.distillation.recipe import Recipe, load_recipe
from pcakd.distillation.report import before_after, loss_curves
from pcakd.distillation.shards import open_photos
from pcakd.distillation.trainer import Diverged, StepReport, Trainer
from pcakd.distillation.workers import Workers
from pcakd.drift.measures import aligned, comparable
from pcakd.eigenbases.files import eigenbases_digest, eigenbases_from
from pcakd.eigenbases.pca import Eigenbases
from pcakd.errors import UsageError
from pcakd.storage import Storage, open_storage
from pcakd.student.checkpoint import Checkpoint, Metadata, checkpoint_bytes, load_checkpoint
from pcakd.student.network import Student
from pcakd.stylize.device import pick_device
from pcakd.teacher import Teacher, load_teacher
from pcakd.units import duration

SHOWN = 6
"""Photos in the before/after picture."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that a worker needs; can be pickled."""

    config: DistillConfig
    recipe: Recipe
    teacher: Teacher
    judge: Teacher | None
    bases: Eigenbases
    folder: Storage
    """Where the model and its state go."""
    name: str
    """The model's file name without suffix."""
    begin_with: Student | None = None
    """A trained student that is gone on from; `bases` are turned to the coordinates of its own."""
    begun_with: str = ""
    """What it was loaded from."""
    run: str = ""
    """The flow run that this is part of."""

    @property
    def state_key(self) -> str:
        return f"{self.name}.state.pt"

    def begin(self) -> None:
        """Before a training, once nothing stands in its way: without `resume` an older state is removed."""
        if not self.config.resume:
            self.folder.delete(self.state_key)

    def trainer(self, device: torch.device, workers: Workers | None = None) -> Trainer:
        """A trainer on a device, at the saved state if there is one."""
        photos, held_out = self.photos()
        workers = workers or Workers()
        trainer = Trainer(
            self.recipe,
            self.teacher,
            self.bases,
            photos,
            held_out if workers.rank == 0 else None,
            judge=self.judge,
            begin_with=self.begin_with,
            workers=workers,
            device=device,
        )
        if self.folder.exists(self.state_key):
            trainer.load_state(self.folder.read(self.state_key))
        return trainer

    def photos(self) -> tuple[PhotoSet, PhotoSet | None]:
        return open_photos(self.config.shards, held_out=self.config.held_out)

    def save_state(self, trainer: Trainer) -> None:
        """Write the training state, whole or not at all."""
        self.folder.write(self.state_key, trainer.state())


def prepare(config: DistillConfig) -> Job:
    """Read what the job needs and hold it against each other.

    Raises UsageError, CheckpointError, NotFoundError.
    """
    # Ray's workers have another working directory.
    held_out = config.held_out and open_storage(config.held_out).uri()
    config = replace(config, shards=open_storage(config.shards).uri(), held_out=held_out)
    teacher = load_teacher(config.teacher)
    recipe = load_recipe(config.recipe or teacher.info.backbone)
    if config.steps is not None:
        recipe = with_steps(recipe, config.steps)
    if config.seed is not None:
        recipe = replace(recipe, seed=config.seed)
    bases = read_eigenbases(config.eigenbases)
    parent, _, file = config.out.rpartition("/")
    folder = open_storage(open_storage(parent or ".").uri())
    name = PurePosixPath(file).stem
    judge = load_teacher(config.judge) if config.judge and recipe.style_photos else None
    job = Job(config=config, recipe=recipe, teacher=teacher, judge=judge, bases=bases, folder=folder, name=name)
    if bases.teacher.get("digest", teacher.digest) != teacher.digest:
        raise UsageError(
            f"{config.eigenbases}: was fitted on teacher {bases.teacher.get('id', '?')} with other weights than "
            f"{config.teacher}; fit again, or name that teacher"
        )
    return begun(job, load_checkpoint(config.begin_with)) if config.begin_with else job


def begun(job: Job, model: Checkpoint) -> Job:
    """A job that goes on from a trained student. Raises UsageError for one of other widths or another teacher."""
    own = [model.eigenbases[level] for level in sorted(model.eigenbases)]
    if not comparable(own, job.bases.bases):
        raise UsageError(
            f"{job.config.begin_with}: has bases of {[tuple(basis.shape) for basis in own]}, not of "
            f"{[tuple(basis.shape) for basis in job.bases.bases]}; begin with another, or with the teacher"
        )
    if model.metadata.teacher.get("digest", job.teacher.digest) != job.teacher.digest:
        raise UsageError(f"{job.config.begin_with}: was made from another teacher than {job.config.teacher}")
    bases = replace(job.bases, bases=aligned(job.bases.bases, own))
    return replace(job, bases=bases, begin_with=model.student, begun_with=model.source)


def read_eigenbases(place: str) -> Eigenbases:
    """Eigenbases from a folder, prefix or file."""
    parent, file = (place.rpartition("/")[0], place.rpartition("/")[2])
    if not file.endswith(".safetensors"):
        parent, file = place, "eigenbases.safetensors"
    storage = open_storage(parent or ".")
    return eigenbases_from(storage.read(file), storage.uri(file))


def with_steps(recipe: Recipe, steps: int) -> Recipe:
    """A recipe with so many steps in all, shared out as in the original."""
    share = steps / recipe.steps
    first, second, third, fourth = (int(count * share) for count in recipe.pair_steps)
    rest = max(steps - first - second - third - fourth, 0)
    if recipe.joint_steps:
        return replace(recipe, pair_steps=(first, second, third, fourth), joint_steps=rest)
    return replace(recipe, pair_steps=(first, second, third, fourth + rest))


def run_here(job: Job, on_step: Callable[[StepReport], None]) -> Trainer:
    """Train in this process; states are saved as the recipe says, the model at the end.

    An interrupted run leaves the model so far and its card. Raises UsageError for a device that is not there; Diverged
    after saving the model of the last good state.
    """
    device = pick_device(job.config.device)
    job.begin()
    trainer = job.trainer(device)
    try:
        trainer.run(on_step=on_step, on_state=lambda step: job.save_state(trainer))
    except Diverged:
        save_results(job, trainer)
        raise
    except BaseException as error:
        # Interrupted, by Ctrl-C or a flow's own signal. Not the state: the step at work may be half done.
        if trainer.step and not isinstance(error, Exception):
            save_model(job, trainer)
        raise
    save_results(job, trainer)
    return trainer


def save_model(job: Job, trainer: Trainer) -> tuple[Student, dict[str, float]]:
    """Write the model and its card; the model, and what it was measured at last."""
    student = trainer.student()
    metrics: dict[str, float] = next(
        (row["validation"] for row in reversed(trainer.history) if row.get("validation")), {}
    )
    recipe = trainer.recipe
    made = f"distilled by pcakd: {trainer.step} steps of {recipe.batch} crops of {recipe.crop} pixels"
    if job.begun_with:
        made += f", from {job.begun_with}"
    metadata = Metadata(
        spec=student.spec,
        teacher={"id": job.teacher.name, "digest": job.teacher.digest},
        eigenbases_digest=eigenbases_digest(job.bases),
        data_digest=trainer.crops.photos.digest,
        metrics=metrics,
        commit=git_commit(),
        licence=f"weights made from {job.teacher.name} ({job.teacher.info.licence})",
        origin=made,
    )
    bases = dict(enumerate(job.bases.bases))
    job.folder.write(f"{job.name}.safetensors", checkpoint_bytes(student, metadata, bases))
    origin = Origin(
        recipe=trainer.recipe,
        recipe_name=PurePosixPath(job.config.recipe or recipe.backbone).stem,
        teacher=job.teacher.info,
        judge=job.judge.info if job.judge else None,
        photos=len(trainer.crops.photos),
        photos_licence=job.config.photos_licence,
        weights=student.parameter_count(),
        steps=trainer.step,
        cpu_seconds=trainer.cpu_seconds,
        devices=tuple(trainer.devices),
        run=job.run,
        begun_with=job.begun_with,
    )
    job.folder.write(f"{job.name}.md", model_card(job.name, metadata, origin).encode())
    return student, metrics


def save_results(job: Job, trainer: Trainer) -> dict[str, Any]:
    """Write the model and its reports; what the model was measured at last."""
    student, metrics = save_model(job, trainer)
    record = {"recipe": json.loads(trainer.recipe.to_json()), "history": trainer.history}
    job.folder.write(f"{job.name}.losses.json", json.dumps(record).encode())
    title = f"{job.name}: {trainer.recipe.backbone} from {job.teacher.name}"
    job.folder.write(f"{job.name}.losses.png", loss_curves(trainer.history, title=title))
    if trainer.validation:
        pictures = before_after(
            initial_student(trainer), student, trainer.validation.photos[:SHOWN], trainer.validation.graded[:SHOWN]
        )
        job.folder.write(f"{job.name}.photos.png", pictures)
    return metrics


def initial_student(trainer: Trainer) -> Student:
    """The student that training began with."""
    fresh = Trainer(
        trainer.recipe,
        trainer.objective.teacher,
        trainer.bases,
        trainer.crops.photos,
        begin_with=trainer.begin_with,
    )
    fresh.start()
    return fresh.student(averaged=False)


def git_commit() -> str:
    """The commit of the code in use, "" outside a checkout."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
        return done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


class StepLines:
    """Turns step reports into lines: one every few seconds, and one for each validation."""

    def __init__(self, show: Callable[[str], None], *, every: float = 15.0) -> None:
        self.show, self.every, self.last = show, every, -1e9

    def __call__(self, report: StepReport) -> None:
        now = time.monotonic()
        if report.validation is None and now - self.last < self.every:
            return
        self.last = now
        self.show(describe(report))
        if report.validation:
            found = report.validation
            shares = " / ".join(f"{found[f'distill.{level}']:.3f}" for level in range(4))
            self.show(
                f"  held-out: reconstruction {found['reconstruction']:.2f} dB, graded {found['graded']:.2f} dB, "
                f"unexplained variance {shares}"
            )


def describe(report: StepReport) -> str:
    """One line: phase, step, losses, speed, time left."""
    losses = ", ".join(f"{name} {value:.4f}" for name, value in report.losses.items())
    return (
        f"{report.phase.name} step {report.phase_step} of {report.phase.steps}: {losses}; "
        f"{report.photos_per_second:.1f} photos/s, {duration(report.seconds_left)} left"
    )
