"""The training loop: phases of a recipe, step by step, resumable at any of them; no engine needed.

    trainer = Trainer(recipe, teacher, eigenbases, photos, held_out)
    trainer.run(on_step=print)
    student = trainer.student()

What a step does depends on the recipe and the step's number alone, and `state` holds all that earlier steps left
behind: weights, optimizer, average, position. A run that is cut and resumed goes on as if it had not been.
"""

import io
import json
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pcakd.distillation.batches import Batches
from pcakd.distillation.captured import CapturedSteps, Work
from pcakd.distillation.closed_form import fit_decoder, fit_encoder
from pcakd.distillation.data import PhotoSet
from pcakd.distillation.objective import Batch, Objective
from pcakd.distillation.recipe import Phase, Recipe
from pcakd.distillation.validation import Validation
from pcakd.distillation.whitening import WhitenedConv2d, convolutions, folded, whiten
from pcakd.distillation.workers import Workers
from pcakd.eigenbases.pca import Eigenbases
from pcakd.errors import CheckpointError, FatalError, UsageError
from pcakd.student.network import Student, StudentSpec
from pcakd.teacher import Teacher

STATE_VERSION = 1
PATIENCE = 20
"""Steps of a phase before its loss can count as diverged."""


class Diverged(FatalError):
    """The loss ran away; the trainer holds the last good state."""


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What one step did."""

    step: int
    """Steps done, all phases."""
    phase: Phase
    """The phase it belongs to."""
    phase_step: int
    """Steps done of the phase."""
    losses: dict[str, float]
    """Losses by name, unweighted, and their weighted "total"."""
    validation: dict[str, float] | None
    """What was measured on held-out photos after this step, if it was."""
    photos_per_second: float
    """Crops a second since this process began, all workers."""
    seconds_left: float
    """Estimate for all remaining phases."""


class Trainer:
    """A distillation in progress."""

    def __init__(
        self,
        recipe: Recipe,
        teacher: Teacher,
        bases: Eigenbases,
        photos: PhotoSet,
        held_out: PhotoSet | None = None,
        *,
        judge: Teacher | None = None,
        begin_with: Student | None = None,
        workers: Workers | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """judge: network in whose features styles are compared; None: the teacher. begin_with: a student of the same
        layout and widths, whose weights are gone on from; None: the start that the recipe names.

        Raises UsageError where teacher, bases, recipe and workers do not fit each other."""
        self.workers = workers or Workers()
        self.recipe, self.device = recipe, torch.device(device)
        if self.workers.size > recipe.batch:
            raise UsageError(f"{self.workers.size} workers for a batch of {recipe.batch}: use {recipe.batch} at most")
        widths = tuple(len(basis) for basis in bases.bases)
        if widths != tuple(teacher.channels):
            raise UsageError(
                f"the eigenbases are for features of {widths}, teacher {teacher.name} has {teacher.channels}"
            )
        if teacher.info.backbone != recipe.backbone:
            raise UsageError(f"teacher {teacher.name} is for {teacher.info.backbone}, the recipe for {recipe.backbone}")
        self.spec = StudentSpec(backbone=recipe.backbone, channels=bases.channels)  # type: ignore[arg-type]
        if begin_with is not None and begin_with.spec != self.spec:
            raise UsageError(
                f"the student to begin with is {begin_with.spec.backbone} of {begin_with.spec.channels} channels, "
                f"the one to train {self.spec.backbone} of {self.spec.channels}"
            )
        self.begin_with = begin_with
        self.bases = bases
        self.batches = Batches(recipe, photos, self.workers, self.device)
        self.crops = self.batches.crops
        teacher = teacher.to(self.device)
        self.validation = Validation(held_out, teacher, bases, recipe) if held_out is not None else None
        judge = judge.to(self.device) if judge is not None else None
        self.objective = Objective(Student(self.spec), teacher, bases.bases, recipe, judge, self.device)
        self.objective.to(self.device)
        self.step = 0
        self.history: list[dict[str, Any]] = []
        self.average: dict[str, Tensor] = {}
        self.cpu_seconds = 0.0
        """This worker's CPU time in steps and validations, over all resumed runs."""
        self.devices: list[str] = []
        """Names of what has computed them."""
        self._loss_average = math.nan
        self._phase: Phase | None = None
        self._started = False
        self._on_gpu = self.device.type == "cuda"

    # ---- beginning and going on

    def start(self) -> None:
        """Initialise the student as the recipe says. Called by `run` where no state was loaded."""
        recipe = self.recipe
        torch.manual_seed(recipe.seed)
        student = Student(self.spec)
        sample = self.crops.sample(recipe.init_photos)
        teacher = self.objective.teacher.cpu()
        if self.begin_with is not None:
            student.load_state_dict(self.begin_with.state_dict())
        elif recipe.init == "teacher":
            fit_encoder(student, teacher, self.bases.bases, sample, sigmas=recipe.bias_sigmas)
            fit_decoder(student, sample)
        self.objective.student = student
        self.objective.cpu().measure_scales(sample)
        if recipe.coordinates == "whitened":
            whiten(student, sample, recipe.whitening_ridge)
        teacher.to(self.device)
        self.objective.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._begin()

    def _begin(self) -> None:
        name = torch.cuda.get_device_name(self.device) if self._on_gpu else "CPU"
        if name not in self.devices:
            self.devices = [*self.devices, name]
        if not self.average:
            self.average = {k: p.detach().clone() for k, p in self.objective.student.named_parameters()}
        self._started = True

    def state(self) -> bytes:
        """Everything that the rest of the run depends on."""
        buffer = io.BytesIO()
        record = {
            "version": STATE_VERSION,
            "recipe": self.recipe.to_json(),
            "step": self.step,
            "objective": self.objective.state_dict(),
            "average": self.average,
            "optimizer": self._optimizer.state_dict() if self._phase else None,
            "loss_average": self._loss_average,
            "history": json.dumps(self.history),
            "cpu_seconds": self.cpu_seconds,
            "devices": self.devices,
        }
        torch.save(record, buffer)
        return buffer.getvalue()

    def load_state(self, data: bytes) -> None:
        """Go on from `state()`. Raises CheckpointError for a state that is damaged or of another recipe."""
        try:
            record = torch.load(io.BytesIO(data), map_location=self.device, weights_only=True)
            version, recipe = record["version"], record["recipe"]
        except Exception as error:  # torch.load has no error class of its own
            raise CheckpointError(f"the training state cannot be read ({type(error).__name__})") from None
        if version != STATE_VERSION:
            raise CheckpointError(f"the training state has version {version}, this pcakd reads {STATE_VERSION}")
        if Recipe.from_dict(json.loads(recipe)) != self.recipe:
            raise CheckpointError("the training state is of another recipe; resume with the same one, or start anew")
        student = Student(self.spec)
        if self.recipe.coordinates == "whitened":
            _whitened_shell(student)
        self.objective.student = student
        self.objective.to(self.device)
        try:
            self.objective.load_state_dict(record["objective"])
        except RuntimeError:
            raise CheckpointError("the training state is of other eigenbases; resume with the same ones") from None
        self.objective.to(memory_format=torch.channels_last)
        self.average = record["average"]
        self.step, self._loss_average = int(record["step"]), float(record["loss_average"])
        self.history = json.loads(record["history"])
        # States of older versions do not know them.
        self.cpu_seconds, self.devices = float(record.get("cpu_seconds", math.nan)), record.get("devices", [])
        self._begin()
        self._phase = None
        phase, done = self._position()
        if phase is not None and done:
            self._enter(phase)
            for group in record["optimizer"]["param_groups"]:
                group["fused"] = self._on_gpu or None  # where Adam's own counts go
            self._optimizer.load_state_dict(record["optimizer"])
            self._suit_device()
            self._loss_average = float(record["loss_average"])

    def student(self, *, averaged: bool = True) -> Student:
        """A plain copy of the student, fp32 on the CPU, with averaged or last weights."""
        if averaged and self.recipe.ema:
            last = {k: p.detach().clone() for k, p in self.objective.student.named_parameters()}
            self.objective.student.load_state_dict(self.average, strict=False)
            plain = folded(self.objective.student)
            self.objective.student.load_state_dict(last, strict=False)
            return plain.cpu()
        return folded(self.objective.student).cpu()

    # ---- the loop

    def run(
        self,
        *,
        on_step: Callable[[StepReport], None] | None = None,
        on_state: Callable[[int], None] | None = None,
        until: int | None = None,
    ) -> None:
        """Train to the end, or to step `until`.

        on_step: after each step. on_state: when a state should be saved, with the step; every worker calls it.
        Raises Diverged with the last good state loaded.
        """
        if not self._started:
            self.start()
        end = min(self.recipe.steps, until or self.recipe.steps)
        begin, first = time.monotonic(), self.step
        good = self.state()
        with closing(self.batches):
            while self.step < end:
                phase, done = self._position()
                assert phase is not None
                if self._phase != phase:
                    self._enter(phase)
                started = time.process_time()
                losses = self._train_step(phase, done)
                if self._has_diverged(losses["total"], done):
                    bad = self.step
                    self.load_state(good)
                    raise Diverged(
                        f"the loss ran away at step {bad} ({phase.name}); "
                        f"went back to step {self.step}: lower encoder_rate and decoder_rate in the recipe"
                    )
                self.step += 1
                validation = None
                if self.validation and (self.step % self.recipe.validate_every == 0 or self.step == self.recipe.steps):
                    validation = self.validation.measure(self.student(), self.device)
                self.cpu_seconds += time.process_time() - started
                self._remember(phase, losses, validation)
                if self.step % self.recipe.checkpoint_every == 0 or self.step == end:
                    good = self.state()
                    if on_state:
                        on_state(self.step)
                if on_step:
                    rate = (self.step - first) / (time.monotonic() - begin)
                    on_step(
                        StepReport(
                            step=self.step,
                            phase=phase,
                            phase_step=done + 1,
                            losses=losses,
                            validation=validation,
                            photos_per_second=rate * self.recipe.batch,
                            seconds_left=(self.recipe.steps - self.step) / rate,
                        )
                    )

    def _position(self) -> tuple[Phase | None, int]:
        """The phase that the next step belongs to, and how many of its steps are done."""
        done = self.step
        for phase in self.recipe.phases():
            if done < phase.steps:
                return phase, done
            done -= phase.steps
        return None, 0

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._loss_average = math.nan
        self._parameters = self.objective.train_levels(phase.levels)
        if not self._parameters:
            raise UsageError("encoder_rate and decoder_rate are both 0: there is nothing to train")
        self._model = self.workers.wrap(self.objective)
        make = torch.optim.AdamW if self.recipe.optimizer == "adamw" else torch.optim.Adam
        groups = [
            {"params": [p], "lr": 0.0, "peak": self._peak(name, p)}
            for name, p in self.objective.student.named_parameters()
            if p.requires_grad
        ]
        decay = self.recipe.weight_decay if self.recipe.optimizer == "adamw" else 0.0
        # One kernel a parameter instead of a dozen: on a GPU launches are what a step costs.
        self._optimizer = make(groups, betas=self.recipe.betas, weight_decay=decay, fused=self._on_gpu or None)
        self._rates = torch.zeros(len(groups), device=self.device)
        self._suit_device()
        self._work: Work = self._step_work
        if self._on_gpu and self.workers.size == 1:
            self._work = CapturedSteps(self._step_work)

    def _suit_device(self) -> None:
        """Settings of the optimizer that are the device's, not the training's: a state may come from another."""
        for number, group in enumerate(self._optimizer.param_groups):
            group["fused"] = self._on_gpu or None
            group["capturable"] = self._on_gpu
            if self._on_gpu:
                group["lr"] = self._rates[number]
        self._peaks = torch.tensor([group["peak"] for group in self._optimizer.param_groups], device=self.device)

    def _peak(self, name: str, parameter: nn.Parameter) -> float:
        rate = self.recipe.encoder_rate if name.startswith("encoder") else self.recipe.decoder_rate
        module = self.objective.student.get_submodule(name.rpartition(".")[0])
        if isinstance(module, WhitenedConv2d):
            return rate / module.fan_in**0.5 if name.endswith("turned") else rate
        # Plain weights differ in size from level to level: a rate is a share of a tensor's own size.
        return rate * float(module.weight.detach().square().mean().sqrt())  # type: ignore[operator]

    def _rate(self, phase: Phase, done: int) -> float:
        """Share of the peak rate: linear warm-up, then a cosine."""
        warm = min(1.0, (done + 1) / max(self.recipe.warmup_steps, 1))
        wave = 0.5 * (1 + math.cos(math.pi * done / phase.steps))
        return warm * (self.recipe.final_rate + (1 - self.recipe.final_rate) * wave)

    def _train_step(self, phase: Phase, done: int) -> dict[str, float]:
        rate = self._rate(phase, done)
        if self._on_gpu:
            self._rates.copy_(self._peaks * rate)
        else:
            for group in self._optimizer.param_groups:
                group["lr"] = group["peak"] * rate
        losses = self._work(self.batches[self.step])
        values = self.workers.mean(torch.stack(list(losses.values())))
        found = dict(zip(losses, values.tolist(), strict=True))
        if math.isfinite(found["total"]):
            self._update_average()
        return found

    def _step_work(self, batch: Batch) -> dict[str, Tensor]:
        """Losses of a batch; the weights are updated."""
        losses = self._model(batch)
        self._optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()
        if self.recipe.clip_norm:
            nn.utils.clip_grad_norm_(self._parameters, self.recipe.clip_norm)
        self._optimizer.step()
        return {name: loss.detach().float() for name, loss in losses.items()}

    @torch.no_grad()
    def _update_average(self) -> None:
        # The first steps move fast: a young average forgets faster.
        keep = min(self.recipe.ema, (self.step + 1) / (self.step + 11))
        named = dict(self.objective.student.named_parameters())
        torch._foreach_lerp_([self.average[name] for name in named], [p.detach() for p in named.values()], 1 - keep)

    def _has_diverged(self, total: float, done: int) -> bool:
        if not math.isfinite(total):
            return True
        if math.isnan(self._loss_average):
            self._loss_average = total
        if done >= PATIENCE and total > self.recipe.divergence * self._loss_average:
            return True
        self._loss_average += 0.05 * (total - self._loss_average)
        return False

    def _remember(self, phase: Phase, losses: dict[str, float], validation: dict[str, float] | None) -> None:
        # "stage" is what files of losses and saved states have always called a phase.
        self.history.append({"step": self.step, "stage": phase.name, **{k: round(v, 7) for k, v in losses.items()}})
        if validation:
            self.history[-1]["validation"] = validation


def _whitened_shell(student: Student) -> None:
    """Whitened convolutions of the right shapes; their values come from a state."""
    for name, conv in convolutions(student).items():
        parent, _, leaf = name.rpartition(".")
        fan_in = conv.weight[0].numel()
        shape = (conv.out_channels, fan_in) if conv.groups > 1 else (fan_in,)
        covariance = torch.eye(fan_in).expand(*shape, fan_in)
        shell = WhitenedConv2d(conv, covariance, torch.zeros(shape), torch.ones(conv.out_channels), 1e-3)
        setattr(student.get_submodule(parent), leaf, shell)
