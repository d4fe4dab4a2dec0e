"""Steps to a given quality: the closed-form start against random weights, both in both coordinates.

    python -m benchmarks.steps_to_loss PHOTOS HELD_OUT TEACHER_FILE [--steps 150] [--photos 64]

Trains the built-in recipe of the teacher's backbone four times for a few steps, validates on HELD_OUT as it goes,
and prints at which step each run first reached a reconstruction PSNR.
"""

import argparse
from dataclasses import replace

from benchmarks.fitted import fitted
from pcakd.distillation import Cached, FolderPhotos, Trainer, load_recipe
from pcakd.student.network import DEFAULT_CHANNELS
from pcakd.teacher import load_teacher

TARGETS = (16, 20, 24, 26, 28, 30)
VARIANTS = [("teacher", "whitened"), ("random", "whitened"), ("teacher", "plain"), ("random", "plain")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos")
    parser.add_argument("held_out")
    parser.add_argument("teacher")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--every", type=int, default=25, help="steps between validations")
    parser.add_argument("--photos-for-bases", type=int, default=64)
    parser.add_argument("--eigenbases", help="file to use instead of fitting")
    arguments = parser.parse_args()

    teacher, photos = load_teacher(arguments.teacher), Cached(FolderPhotos(arguments.photos))
    backbone = teacher.info.backbone
    if arguments.eigenbases:
        from pcakd.eigenbases.files import load_eigenbases

        bases = load_eigenbases(arguments.eigenbases)
    else:
        bases = fitted(teacher, photos, DEFAULT_CHANNELS[backbone], arguments.photos_for_bases)
    base = replace(
        load_recipe(backbone),
        pair_steps=(0, 0, 0, 0),
        joint_steps=arguments.steps,
        validate_every=arguments.every,
        validation_photos=4,
        ema=0.9,
    )
    print(f"{backbone}, {base.steps} steps: when the reconstruction of held-out photos first reached ... dB")
    print(f"{'init':8} {'coordinates':12} {'step 1':>7} " + " ".join(f"{t:>5}" for t in TARGETS) + "   last  graded")
    for init, coordinates in VARIANTS:
        recipe = replace(base, init=init, coordinates=coordinates)
        trainer = Trainer(recipe, teacher, bases, photos, FolderPhotos(arguments.held_out))
        trainer.start()
        assert trainer.validation is not None
        first = trainer.validation.measure(trainer.student())["reconstruction"]
        note = ""
        try:
            trainer.run()
        except Exception as error:  # a run that diverges is a result here
            note = f"  ({error})"
        measured = [row for row in trainer.history if "validation" in row]
        seen = [(0, first)] + [(row["step"], row["validation"]["reconstruction"]) for row in measured]
        reached = [next((step for step, value in seen if value >= target), None) for target in TARGETS]
        graded = measured[-1]["validation"]["graded"] if measured else float("nan")
        cells = " ".join(f"{'-' if step is None else step:>5}" for step in reached)
        print(f"{init:8} {coordinates:12} {first:7.1f} {cells}  {seen[-1][1]:5.1f}  {graded:6.1f}{note}", flush=True)


if __name__ == "__main__":
    main()
