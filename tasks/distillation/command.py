"""`pcakd distill`: in this process, or with --workers on Ray Train."""

import json
from typing import Any

import click

from pcakd.cli.extra import need_pipeline
from pcakd.errors import EXIT_OK, UsageError

EPILOG = """\b
Examples:
  pcakd distill shards/ --eigenbases bases/ --teacher vgg19-normalised --out vgg.safetensors
  pcakd distill shards/ --eigenbases bases/ --teacher mobilenet-v1 --out mb.safetensors --steps 400
  pcakd distill shards/ --eigenbases bases/ --teacher vgg19-normalised --out vgg.safetensors --resume

\b
Recipes: mobilenet and vgg come with the package; copy pcakd/recipes/vgg.toml to change one.
Beside OUT it writes NAME.state.pt (what --resume goes on from), NAME.losses.json,
NAME.losses.png (curves) and NAME.photos.png (held-out photos: the photo, its reconstruction
before and after training, a colour grade of it, its transfer to that grade before and after).
On a CPU, MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=4294967296 make it faster."""


@click.command("distill", epilog=EPILOG, short_help="Distil a student from a teacher.")
@click.argument("shards")
@click.option("--eigenbases", required=True, metavar="DIR", help="What `pcakd fit-eigenbases` wrote.")
@click.option("--teacher", required=True, metavar="T", help="Name or file of the teacher.")
@click.option("--out", required=True, metavar="FILE", help="Model to write, NAME.safetensors; local or s3://.")
@click.option("--recipe", default="", help="Built-in recipe or TOML file.  [default: the teacher's backbone's]")
@click.option("--judge", default="", metavar="T", help="In whose features styles are compared.  [default: teacher]")
@click.option("--held-out", metavar="DIR", help="Photos to validate on.  [default: the shards' val split]")
@click.option("--steps", type=int, help="Steps in all, shared out as in the recipe.  [default: the recipe's]")
@click.option("--seed", type=int, help="In place of the recipe's.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where.")
@click.option("--resume", is_flag=True, help="Go on from the training state beside OUT, if there is one.")
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Processes on Ray that train together; 0: in this process, without Ray.",
)
@click.option("--min-workers", metavar="N", type=click.IntRange(1), help="Go on with as few where nodes are lost.")
@click.option(
    "--cpus", metavar="N", type=float, default=1, show_default=True, help="CPUs and threads of each worker on Ray."
)
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
    from pcakd.distillation.job import DistillConfig, StepLines, prepare, run_here

    config = DistillConfig(**options)
    tell = StepLines(lambda line: click.echo(line, err=True))
    if not workers:
        job = prepare(config)
        trainer = run_here(job, tell)
        _summary(job, trainer.step, trainer.history)
        return EXIT_OK
    from tasks.distillation.job import RayOptions
    from tasks.distillation.job import distill as distill_on_ray

    job = distill_on_ray(config, RayOptions(workers=workers, min_workers=min_workers, cpus=cpus), on_step=tell)
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
