"""`pcakd distill` with --workers: on Ray Train."""

from typing import Any

import click

from pcakd.cli.distill import EPILOG, distill_options, summary, train_here
from pcakd.errors import EXIT_OK, UsageError


@click.command("distill", epilog=EPILOG, short_help="Distil a student from a teacher.")
@distill_options
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
    if not workers:
        if min_workers is not None:
            raise UsageError("--min-workers needs --workers")
        return train_here(**options)
    import json

    from pcakd.distillation.job import DistillConfig, Progress
    from tasks.distillation.job import RayOptions
    from tasks.distillation.job import distill as distill_on_ray

    config = DistillConfig(**options)
    spread = RayOptions(workers=workers, min_workers=min_workers, cpus=cpus)
    job = distill_on_ray(config, spread, on_step=Progress(lambda line: click.echo(line, err=True)))
    history = json.loads(job.folder.read(f"{job.name}.losses.json"))["history"]
    summary(job, history[-1]["step"], history)
    return EXIT_OK
