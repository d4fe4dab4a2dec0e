"""`make demo`: the whole pipeline on real photographs, in one folder; prints what it made and how to open it."""

import os
import sys
import time
from pathlib import Path

import click

SERVICES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "PREFECT_API_URL", "RAY_ADDRESS", "PCAKD_WORKSPACE")
"""Variables that would lead the demo to other services than its own."""

RECIPE = """\
backbone = "{backbone}"
init = "{init}"           # closed form where the teacher's layers are the student's
crop = 96                 # pixels
batch = 4
teacher_photos = 4
graded_photos = 1
init_photos = 32
pair_steps = [10, 10, 10, 10]
joint_steps = {joint}
warmup_steps = 5
validate_every = 40
validation_photos = 4
checkpoint_every = 40
"""


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True)
@click.option("--steps", type=click.IntRange(1), default=120, show_default=True, help="Joint steps of the training.")
def main(out: Path, steps: int) -> None:
    """Shard, fit, distil, evaluate, register, look the champion up, and stylize a folder with it."""
    started = time.monotonic()
    out = out.absolute()
    for name in SERVICES:
        os.environ.pop(name, None)
    os.environ |= {"PCAKD_HOME": str(out), "PREFECT_HOME": str(out / "prefect"), "PREFECT_LOGGING_LEVEL": "WARNING"}
    (out / "prefect").mkdir(parents=True, exist_ok=True)
    import flows

    flows.quiet_environment()
    from flows.demo.run import run_demo

    run_demo(out, RECIPE, steps, click.echo)
    click.echo(f"\nDone in {time.monotonic() - started:.0f} s.")


if __name__ == "__main__":
    from pcakd.cli.main import run

    sys.exit(run(main))
