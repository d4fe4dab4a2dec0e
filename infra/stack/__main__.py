"""`python -m infra.stack up|restart|down|status`, which `make up`, `make restart` and `make down` call."""

import os
import subprocess
import sys

import click

from infra.stack.processes import down as stop_all
from infra.stack.processes import log_file, running
from infra.stack.processes import up as start_all
from infra.stack.services import Stack
from pcakd.cli.main import run
from pcakd.environment import VARIABLES, setting
from pcakd.errors import TransientError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The local stack: Prefect server, MLflow server, Ray head, a Prefect worker and the page in the browser, as plain
    processes.

    \b
    PCAKD_STACK_DATA                  data, logs, process ids   [.local/stack]
    PCAKD_PREFECT_PORT                [4200]
    PCAKD_MLFLOW_PORT                 [5000]
    PCAKD_RAY_PORT                    [6379]
    PCAKD_UI_PORT                     [7860]
    PCAKD_PHOTOS, PCAKD_TEACHER       deploys the scheduled flows for these photos; the page browses them
    """


@main.command()
def up() -> None:
    """Start what is not running, and wait until it answers."""
    bring_up(Stack.read())


@main.command()
def restart() -> None:
    """Stop everything and start it with the settings of this shell; data stays."""
    stack = Stack.read()
    stop_all(stack, click.echo)
    bring_up(stack)


def bring_up(stack: Stack) -> None:
    """Start it, deploy, and say how it is used."""
    passed = ", ".join(sorted(name for name in VARIABLES if setting(name)))
    click.echo(f"settings of this shell that are passed on: {passed or 'none'}")
    start_all(stack, click.echo)
    if setting("PCAKD_PHOTOS"):
        deploy(stack)
        click.echo("deployments: shard-dataset nightly, distillation-pipeline weekly, the others by hand")
    else:
        click.echo("no deployments: set PCAKD_PHOTOS to a folder or s3:// prefix of photos, then `make up` again")
    click.echo(f"\nPrefect {stack.prefect_url}   MLflow {stack.mlflow_url}   page {stack.page_url}")
    click.echo(f"data and logs {stack.data}")
    click.echo("To use them from a shell:")
    for name, value in stack.exports().items():
        click.echo(f"  export {name}={value}")


@main.command()
def down() -> None:
    """Stop what `up` started; its data stays."""
    stop_all(Stack.read(), click.echo)


@main.command()
def status() -> None:
    """Say what is running and whether it answers."""
    stack = Stack.read()
    for service in stack.services():
        process = running(stack, service)
        state = "down" if process is None else "up" if service.healthy() else "does not answer"
        click.echo(f"{service.name:<8} {state:<16} {log_file(stack, service)}")


def deploy(stack: Stack) -> None:
    """`prefect deploy --all`, from the project's folder. Raises TransientError."""
    environment = os.environ | {"PCAKD_TEACHER": "vgg19"} | os.environ | stack.environment()
    words = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise TransientError(f"prefect deploy --all failed: {lines[-1] if lines else 'it said nothing'}")


if __name__ == "__main__":
    sys.exit(run(main))
