"""`pcakd distill`: in this process, or with --workers on Ray Train."""

import json
from typing import Any

import click

from pcakd.cli.extra import need_pipeline
from pcakd.cli.options import field_option, field_options
from pcakd.distillation.config import DistillConfig
from pcakd.errors import EXIT_OK, UsageError
from tasks.distillation.config import RayOptions

EPILOG = """\b
Examples:
  pcakd distill shards/ --eigenbases bases/ --teacher vgg19-normalised --out vgg.safetensors
  pcakd distill shards/ --eigenbases bases/ --teacher mobilenet-v1 --out mb.safetensors --steps 400
  pcakd distill shards/ --eigenbases bases/ --teacher vgg19-normalised --out vgg.safetensors --resume

\b
Recipes: mobilenet and vgg come with the package; mobilenet-gpu and vgg-gpu, that take hours without a GPU; and
mobilenet-gpu-on and vgg-gpu-on, for --begin-with what those made. Copy pcakd/recipes/vgg.toml to change one.
Beside OUT it writes its card NAME.md, NAME.state.pt (what --resume goes on from), NAME.losses.json,
NAME.losses.png (curves) and NAME.photos.png (held-out photos: the photo, its reconstruction
before and after training, a colour grade of it, its transfer to that grade before and after).
On a CPU, MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=4294967296 make it faster."""


@click.command("distill", epilog=EPILOG, short_help="Distil a student from a teacher.")
@click.argument("shards")
@field_option(DistillConfig, "eigenbases", metavar="DIR")
@field_option(DistillConfig, "teacher", metavar="T")
@field_option(DistillConfig, "out", metavar="FILE")
@field_option(DistillConfig, "recipe")
@field_option(DistillConfig, "judge", metavar="T")
@field_option(DistillConfig, "begin_with", metavar="MODEL")
@field_option(DistillConfig, "held_out", metavar="DIR")
@field_options(DistillConfig, "steps", "seed", "device", "photos_licence", "resume")
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Processes on Ray that train together; 0: in this process, without Ray.",
)
@field_option(RayOptions, "min_workers")
@field_option(RayOptions, "cpus")
def distill(workers: int, min_workers: int | None, cpus: float, **options: Any) -> int:
    """Distil a student of the photos in SHARDS from a teacher and its eigenbases.

    SHARDS is what `pcakd shard` wrote, or a local folder of photos. Interrupted? The same command with
    --resume ends with the same weights. With --workers it runs on the Ray cluster at RAY_ADDRESS, or on one
    started here; a worker that dies is replaced, and training goes on from the last saved state.
    """
    if workers:
        need_pipeline("pcakd distill with --workers")
    elif min_workers is not None:
        raise UsageError("--min-workers needs --workers")
    config = DistillConfig(**options)
    from pcakd.distillation.job import StepLines, prepare, run_here

    tell = StepLines(lambda line: click.echo(line, err=True))
    if not workers:
        job = prepare(config)
        trainer = run_here(job, tell)
        _summary(job, trainer.step, trainer.history)
        return EXIT_OK
    from tasks.distillation.job import distill as distill_on_ray

    spread = RayOptions(workers=workers, min_workers=min_workers, cpus=cpus)
    job = distill_on_ray(config, spread, on_step=tell)
    history = json.loads(job.folder.read(f"{job.name}.losses.json"))["history"]
    _summary(job, history[-1]["step"], history)
    return EXIT_OK


def _summary(job: Any, step: int, history: list[dict[str, Any]]) -> None:
    """What was made, on standard output."""
    found = next((row["validation"] for row in reversed(history) if row.get("validation")), None)
    if found:
        click.echo(f"held-out photos: reconstruction {found['reconstruction']:.2f} dB, graded {found['graded']:.2f} dB")
        shares = "  ".join(f"{found[f'distill.{level}']:.3f}" for level in range(4))
        click.echo(f"teacher's variance unexplained, levels 0..3: {shares}")
    click.echo(f"{step:,} steps")
    click.echo(job.folder.uri(f"{job.name}.safetensors"))
