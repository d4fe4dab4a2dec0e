"""What each part of a recipe is worth: the same steps with one thing changed at a time.

    python -m benchmarks.ablation PHOTOS HELD_OUT TEACHER_FILE [--judge FILE] [--steps 400] [--only NAME …] [--list]
    python -m benchmarks.ablation … --recipe mobilenet-gpu --device cuda --at-once 5 --steps 1000

Trains the built-in recipe of the teacher's backbone, or the one that --recipe names, all block pairs together, then
once for each variant, with the same photos, crops and number of steps; schedules end with the run. Measured on photos
of HELD_OUT:

reconstruction  PSNR through encoder and decoder, dB
graded          PSNR of transfers to a photo's own grade, dB
unexplained     share of the teacher's centred variance, levels 0 to 3; of other widths, by the bases of those
SSIM, Gram      pairs of different photos, middle 256 pixels, the paper's transfer with its guided filter; Gram in the
                judge's features
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, ExitStack, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import pairwise
from threading import Lock
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from benchmarks.fitted import summed
from pcakd.cli.progress import progress
from pcakd.distillation import Cached, FolderPhotos, Trainer, load_recipe
from pcakd.distillation.data import PhotoSet
from pcakd.distillation.differentiable import guided, luminance_ssim, style_loss
from pcakd.distillation.recipe import Recipe
from pcakd.distillation.trainer import Diverged
from pcakd.distillation.validation import middle, transferred
from pcakd.eigenbases.pca import Moments, Widths, fit
from pcakd.student.network import DEFAULT_CHANNELS, Student
from pcakd.teacher import Teacher, load_teacher

PHOTOS_FOR_BASES = 96


@dataclass(frozen=True)
class Variant:
    """One thing that is changed. recipe: fields from the base and the steps; width: factor of each level's channels;
    network: how students are changed while this one is trained and measured."""

    name: str
    recipe: Callable[[Recipe, int], dict[str, Any]] = lambda base, steps: {}
    width: float = 1.0
    network: Callable[[], AbstractContextManager[Any]] = field(default=nullcontext)


def without_residuals() -> ExitStack:
    """Students whose decoder hears nothing of the encoder's high frequencies."""
    stack = ExitStack()
    for module in ("student.network", "distillation.objective"):
        stack.enter_context(mock.patch(f"pcakd.{module}.residual", torch.zeros_like))
    return stack


def _fields(**values: Any) -> Callable[[Recipe, int], dict[str, Any]]:
    return lambda base, steps: values


VARIANTS = (
    Variant("the recipe"),
    Variant("block by block", lambda base, steps: {"pair_steps": (steps // 4,) * 4, "joint_steps": 0}),
    Variant(
        "half block by block, half together",
        lambda base, steps: {"pair_steps": (steps // 8,) * 4, "joint_steps": steps - steps // 8 * 4},
    ),
    Variant("plain coordinates", _fields(coordinates="plain")),
    Variant("random weights", _fields(init="random")),
    Variant("without residuals", network=without_residuals),
    Variant("half the widths", width=0.5),
    Variant("1.5 × the widths", width=1.5),
    Variant("without distillation loss", _fields(distill=0.0)),
    Variant("3 × distillation loss", lambda base, steps: {"distill": 3 * base.distill}),
    Variant("without feature loss", _fields(feature=0.0)),
    Variant("with perceptual loss", _fields(perceptual=0.1)),
    Variant("without graded transfers", _fields(graded_photos=0)),
    Variant("without pairs", _fields(style_photos=0)),
    Variant("half the batch", lambda base, steps: _smaller(base)),
    Variant("half the rates", lambda base, steps: _rates(base, 0.5)),
    Variant("no average of weights", _fields(ema=0.0)),
    Variant("fp32", _fields(precision="fp32")),
)


def _smaller(base: Recipe) -> dict[str, int]:
    batch = base.batch // 2
    return {"batch": batch} | {name: min(getattr(base, name), batch) for name in ("teacher_photos", "graded_photos")}


def _rates(base: Recipe, factor: float) -> dict[str, float]:
    return {"encoder_rate": factor * base.encoder_rate, "decoder_rate": factor * base.decoder_rate}


class Pairs:
    """Different photos by twos: each is given the look of the one after it."""

    def __init__(self, photos: FolderPhotos, count: int, judge: Teacher) -> None:
        squares = [middle(photos[i]) for i in range(0, len(photos), max(1, len(photos) // (count + 1)))]
        self.pairs = list(pairwise(squares[: count + 1]))
        self.judge = judge

    @torch.no_grad()
    def measure(self, student: Student, device: torch.device) -> tuple[float, float]:
        """(SSIM to the content, Gram distance to the style), means over pairs. device: the judge's."""
        student = student.to(device)
        found = [self._one(student, *(photo.to(device) for photo in pair)) for pair in self.pairs]
        ssim, gram = torch.tensor(found, dtype=torch.float64).mean(0).tolist()
        return ssim, gram

    def _one(self, student: Student, content: Tensor, style: Tensor) -> tuple[float, float]:
        result = guided(transferred(student, content, style).clamp(0, 1), content).clamp(0, 1)
        gram = style_loss(self.judge.features(result), self.judge.features(style))
        return float(luminance_ssim(result, content)), float(gram)


@dataclass(frozen=True)
class Trial:
    """What all variants have in common: recipe, widths, steps, networks, photos."""

    base: Recipe
    channels: tuple[int, ...]
    steps: int
    teacher: Teacher
    judge: Teacher
    moments: Moments
    photos: PhotoSet
    held_out: PhotoSet
    pairs: Pairs
    device: torch.device
    advance: Callable[[int], None] = lambda steps: None
    """Hears of steps as they are done, of all variants together."""

    def row(self, variant: Variant) -> str:
        """Train one variant; its row of the table."""
        own = torch.cuda.stream(torch.cuda.Stream()) if self.device.type == "cuda" else nullcontext()
        with own, variant.network():
            try:
                trainer = self.train(variant)
            except Diverged as error:  # is a result here
                return f"| {variant.name} | {error} |"
            last = trainer.history[-1]["validation"]
            ssim, gram = self.pairs.measure(trainer.student(), self.device)
        levels = " / ".join(f"{last[f'distill.{level}']:.3f}" for level in range(4))
        return (
            f"| {variant.name} | {last['reconstruction']:.1f} | {last['graded']:.1f} | {levels} "
            f"| {ssim:.3f} | {gram:.3f} | {trainer.student().parameter_count():,} |"
        )

    def train(self, variant: Variant) -> Trainer:
        """To the last step. Raises Diverged."""
        channels = tuple(round(variant.width * count) for count in self.channels)
        recipe = replace(self.base, **variant.recipe(self.base, self.steps))
        # Networks of its own: while a student begins its teacher is on the CPU.
        teacher, judge = deepcopy(self.teacher), deepcopy(self.judge)
        bases = fit(self.moments, Widths(channels=channels))
        trainer = Trainer(recipe, teacher, bases, self.photos, self.held_out, judge=judge, device=self.device)
        trainer.run(on_step=lambda report: self.advance(1))
        return trainer


class Shared:
    """Photos for several trainings at a time: those decoded last are kept, and given to one at a time."""

    def __init__(self, photos: PhotoSet) -> None:
        self._photos, self._lock = Cached(photos), Lock()
        self.digest = photos.digest

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, index: int) -> np.ndarray:
        with self._lock:
            return self._photos[index]


def rows(trial: Trial, variants: Sequence[Variant], at_once: int) -> Iterator[str]:
    """The table's rows as variants are done. Those that change what students are, for the whole process, come last,
    one at a time."""
    alone = [variant for variant in variants if variant.network is not nullcontext]
    with ThreadPoolExecutor(at_once) as pool:
        running = [pool.submit(trial.row, variant) for variant in variants if variant not in alone]
        for done in as_completed(running):
            yield done.result()
    yield from map(trial.row, alone)


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos")
    parser.add_argument("held_out")
    parser.add_argument("teacher")
    parser.add_argument("--judge", help="teacher file in whose features styles are compared; the teacher's own if none")
    parser.add_argument("--recipe", help="built-in recipe, or a file; that of the teacher's backbone if none")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--at-once", type=int, default=1, help="variants that train at the same time; 5 on an H200")
    parser.add_argument("--only", action="append", help="name of a variant; again for more")
    parser.add_argument("--list", action="store_true", help="show the variants' names and end")
    args = parser.parse_args()
    if args.list:
        print("\n".join(variant.name for variant in VARIANTS))
        return
    torch.set_num_threads(1)
    teacher, photos = load_teacher(args.teacher), Shared(FolderPhotos(args.photos))
    held_out = FolderPhotos(args.held_out)
    judge = load_teacher(args.judge) if args.judge else teacher
    backbone = teacher.info.backbone
    base = load_recipe(args.recipe or backbone)
    chosen = [variant for variant in VARIANTS if not args.only or variant.name in args.only]
    trial = Trial(
        base=replace(base, joint_steps=args.steps, validate_every=args.steps, ema=0.98),
        channels=DEFAULT_CHANNELS[backbone],
        steps=args.steps,
        teacher=teacher,
        judge=judge,
        moments=summed(teacher, photos, PHOTOS_FOR_BASES),
        photos=photos,
        held_out=held_out,
        pairs=Pairs(held_out, args.pairs, deepcopy(judge).to(args.device)),
        device=args.device,
    )
    print(f"{backbone}, recipe {args.recipe or backbone}, {args.steps} steps")
    print("| variant | reconstruction | graded | unexplained | SSIM | Gram | weights |")
    print("| --- | ---: | ---: | --- | ---: | ---: | ---: |")
    with progress("steps", len(chosen) * args.steps) as advance:
        for row in rows(replace(trial, advance=advance), chosen, args.at_once):
            print(row, flush=True)


if __name__ == "__main__":
    main()
