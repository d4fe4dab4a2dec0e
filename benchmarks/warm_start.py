"""Steps that a training saves by beginning with the champion, after a night's photos have come in.

    python -m benchmarks.warm_start PHOTOS TEACHER_FILE [--steps 120] [--new 0.1]

A champion is trained on the older photos. Then all photos, with new ones among them, are fitted again and a student is
trained with the same recipe: from the teacher, from the champion, and from the champion for a share of its steps, as
the pipeline does it. Held out: every eighth photo.
"""

import argparse
from dataclasses import dataclass, replace

import numpy as np
import torch

from pcakd.distillation import Cached, FolderPhotos, Trainer, load_recipe
from pcakd.distillation.validation import middle
from pcakd.drift.measures import aligned, compare_levels, worst
from pcakd.drift.options import DriftPolicy
from pcakd.eigenbases.pca import Moments, Widths, fit
from pcakd.student.network import DEFAULT_CHANNELS
from pcakd.teacher import load_teacher

HELD_OUT = 8


@dataclass
class Some:
    """Some of the photos of a folder."""

    photos: FolderPhotos
    numbers: list[int]
    digest: str = "some"

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.photos[self.numbers[index]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos")
    parser.add_argument("teacher")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--every", type=int, default=10, help="steps between validations")
    parser.add_argument("--new", type=float, default=0.1, help="share of the photos that came since")
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--validate", type=int, default=16, help="held-out photos that are validated on")
    arguments = parser.parse_args()

    teacher, photos = load_teacher(arguments.teacher), FolderPhotos(arguments.photos)
    held_out = Some(photos, list(range(0, len(photos), HELD_OUT)))
    numbers = [number for number in range(len(photos)) if number % HELD_OUT]
    older = numbers[: round(len(numbers) * (1 - arguments.new))]
    moments = [Moments.zeros(teacher.channels) for _ in range(2)]
    with torch.no_grad():
        for number in numbers:
            moments[number not in older].update(teacher.features(middle(photos[number])))
    widths = Widths(channels=DEFAULT_CHANNELS[teacher.info.backbone])
    before, now = fit(moments[0], widths), fit(moments[0] + moments[1], widths)
    levels = compare_levels(before.bases, now.bases, moments[0] + moments[1], new=moments[1], older=moments[0])
    print(
        f"{len(older)} photos, {len(numbers) - len(older)} new; largest angle {worst(levels, 'angle'):.1f} degrees, "
        f"lost {worst(levels, 'lost'):.3%}, foreign {worst(levels, 'foreign'):.3%}"
    )
    recipe = replace(
        load_recipe(teacher.info.backbone),
        crop=arguments.crop,
        batch=4,
        teacher_photos=4,
        graded_photos=1,
        style_photos=0,
        init_photos=16,
        pair_steps=(0, 0, 0, 0),
        joint_steps=arguments.steps,
        warmup_steps=5,
        validate_every=arguments.every,
        validation_photos=arguments.validate,
        ema=0.9,
    )
    champion = Trainer(recipe, teacher, before, Cached(Some(photos, older)), held_out)
    champion.run()
    student = champion.student()
    turned = replace(now, bases=aligned(now.bases, before.bases))
    everything = Cached(Some(photos, numbers))
    runs = {
        "teacher": Trainer(recipe, teacher, now, everything, held_out),
        "champion": Trainer(recipe, teacher, turned, everything, held_out, begin_with=student),
    }
    short = replace(recipe, joint_steps=round(arguments.steps * DriftPolicy().short))
    runs["short"] = Trainer(short, teacher, turned, everything, held_out, begin_with=student)
    found: dict[str, list[tuple[int, dict[str, float]]]] = {}
    for name, trainer in runs.items():
        trainer.start()
        assert trainer.validation is not None
        found[name] = [(0, trainer.validation.measure(trainer.student()))]
        trainer.run()
        found[name] += [(row["step"], row["validation"]) for row in trainer.history if "validation" in row]
        print(name, " ".join(f"{step}: {one['reconstruction']:.2f}" for step, one in found[name]), flush=True)
    print("| quality reached by the teacher's start | its steps | from the champion | saved |")
    print("| --- | ---: | ---: | ---: |")
    for measure, better in (("reconstruction", 1), ("graded", 1), ("distill.3", -1)):
        for share in (0.5, 1.0):
            step = round(arguments.steps * share / arguments.every) * arguments.every
            goal = dict(found["teacher"])[step][measure]
            reached = next((at for at, one in found["champion"] if better * one[measure] >= better * goal), None)
            saved = "-" if reached is None else f"{1 - reached / step:.0%}"
            print(f"| {measure} {goal:.3f} | {step} | {'not' if reached is None else reached} | {saved} |")
    print(
        f"| at the end | from the teacher, {recipe.steps} steps | from the champion, {recipe.steps} | {short.steps} |"
    )
    print("| --- | ---: | ---: | ---: |")
    for measure in ("reconstruction", "graded", *(f"distill.{level}" for level in range(4))):
        cells = " | ".join(f"{found[name][-1][1][measure]:.3f}" for name in runs)
        print(f"| {measure} | {cells} |")


if __name__ == "__main__":
    main()
