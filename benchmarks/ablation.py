"""What each part of a recipe is worth: the same steps with one thing changed at a time.

    python -m benchmarks.ablation PHOTOS HELD_OUT TEACHER_FILE [--judge FILE] [--steps 400] [--only NAME …] [--list]

Trains the built-in recipe of the teacher's backbone, all block pairs together, then once for each variant, with the
same photos, crops and number of steps; schedules end with the run. Measured on photos of HELD_OUT:

reconstruction  PSNR through encoder and decoder, dB
graded          PSNR of transfers to a photo's own grade, dB
unexplained     share of the teacher's centred variance, levels 0 to 3; of other widths, by the bases of those
SSIM, Gram      pairs of different photos, middle 256 pixels, the paper's transfer with its guided filter; Gram in the
                judge's features
"""

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks.fitted import fitted
from pcakd.distillation import Cached, FolderPhotos, Trainer, load_recipe
from pcakd.distillation.differentiable import guided, luminance_ssim, style_loss
from pcakd.distillation.recipe import Recipe
from pcakd.distillation.trainer import Diverged
from pcakd.distillation.validation import middle, transferred
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
    def measure(self, student: Student) -> tuple[float, float]:
        """(SSIM to the content, Gram distance to the style), means over pairs."""
        found = [self._one(student, *pair) for pair in self.pairs]
        ssim, gram = torch.tensor(found, dtype=torch.float64).mean(0).tolist()
        return ssim, gram

    def _one(self, student: Student, content: Tensor, style: Tensor) -> tuple[float, float]:
        result = guided(transferred(student, content, style).clamp(0, 1), content).clamp(0, 1)
        gram = style_loss(self.judge.features(result), self.judge.features(style))
        return float(luminance_ssim(result, content)), float(gram)


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos")
    parser.add_argument("held_out")
    parser.add_argument("teacher")
    parser.add_argument("--judge", help="teacher file in whose features styles are compared; the teacher's own if none")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--only", action="append", help="name of a variant; again for more")
    parser.add_argument("--list", action="store_true", help="show the variants' names and end")
    args = parser.parse_args()
    if args.list:
        print("\n".join(variant.name for variant in VARIANTS))
        return
    torch.set_num_threads(1)
    teacher, photos = load_teacher(args.teacher), Cached(FolderPhotos(args.photos))
    held_out = FolderPhotos(args.held_out)
    judge = load_teacher(args.judge) if args.judge else teacher
    pairs = Pairs(held_out, args.pairs, judge)
    backbone = teacher.info.backbone
    base = replace(load_recipe(backbone), joint_steps=args.steps, validate_every=args.steps, ema=0.98)
    bases = partial(fitted, teacher, photos, count=PHOTOS_FOR_BASES)
    print(f"{backbone}, {args.steps} steps")
    print("| variant | reconstruction | graded | unexplained | SSIM | Gram | CPU s |")
    print("| --- | ---: | ---: | --- | ---: | ---: | ---: |")
    for variant in VARIANTS:
        if args.only and variant.name not in args.only:
            continue
        channels = tuple(round(variant.width * count) for count in DEFAULT_CHANNELS[backbone])
        recipe = replace(base, **variant.recipe(base, args.steps))
        with variant.network():
            trainer = Trainer(recipe, teacher, bases(channels), photos, held_out, judge=judge)
            try:
                trainer.run()
            except Diverged as error:  # is a result here
                print(f"| {variant.name} | {error} |", flush=True)
                continue
            last = trainer.history[-1]["validation"]
            ssim, gram = pairs.measure(trainer.student())
        levels = " / ".join(f"{last[f'distill.{level}']:.3f}" for level in range(4))
        print(
            f"| {variant.name} | {last['reconstruction']:.1f} | {last['graded']:.1f} | {levels} "
            f"| {ssim:.3f} | {gram:.3f} | {trainer.cpu_seconds:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
