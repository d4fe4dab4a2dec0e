"""`pcakd workspace`: what the workspace holds, who needs it, and the removal of what nobody needs."""

import json
from collections.abc import Callable
from typing import Any

import click

from pcakd.cli.extra import need_pipeline
from pcakd.errors import EXIT_OK
from pcakd.units import counted, shown_bytes

EXAMPLES = """\b
Examples:
  pcakd workspace list
  pcakd workspace list --json
  pcakd workspace prune
  pcakd workspace prune --keep-days 7 --delete

\b
The workspace is PCAKD_WORKSPACE, else PCAKD_HOME/workspace; the registry that says which students are needed is the
one at MLFLOW_TRACKING_URI, else that of the workspace."""


@click.group("workspace", epilog=EXAMPLES, short_help="What the workspace holds and who needs it; prune the rest.")
def workspace() -> None:
    """Look at the stages' outputs, and remove those that nobody needs.

    Needed are: every registered student and what was measured of it; the newest photos of each source and their newest
    bases; what a run is at work on; what was written lately; and all that any of these was made of.
    """
    need_pipeline("pcakd workspace")


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option(
        "--unregistered", is_flag=True, help="Believe a registry that has no model at all, though there are students."
    )(command)
    return click.option(
        "--keep-days",
        type=click.FloatRange(0),
        default=30.0,
        show_default=True,
        help="What was written in the last so many days stays.",
    )(command)


@workspace.command("list")
@_options
@click.option("--json", "as_json", is_flag=True, help="For a program: JSON.")
def list_outputs(keep_days: float, unregistered: bool, as_json: bool) -> int:
    """Every output: what it is, its size, and why it stays."""
    from tasks.workspace.show import lines, records

    stock = _stock(keep_days, unregistered)
    click.echo(json.dumps(records(stock), indent=1) if as_json else "\n".join(lines(stock)))
    return EXIT_OK


@workspace.command()
@_options
@click.option("--delete", is_flag=True, help="Remove them. Without it they are only listed.")
def prune(keep_days: float, unregistered: bool, delete: bool) -> int:
    """Remove the outputs that nobody needs; without --delete say which these are."""
    from tasks.workspace.prune import remove
    from tasks.workspace.show import line

    stock = _stock(keep_days, unregistered)
    unneeded = stock.unneeded
    size = shown_bytes(sum(one.bytes for one in unneeded))
    if not unneeded:
        click.echo(f"{stock.workspace.uri()}: every output is needed")
    elif delete:
        remove(stock, unneeded, holder="pcakd workspace prune", removed=lambda one: click.echo(f"removed {line(one)}"))
        click.echo(f"{counted(len(unneeded), 'output')} removed, {size}")
    else:
        for one in unneeded:
            click.echo(line(one))
        click.echo(f"{counted(len(unneeded), 'output')}, {size}, would be removed; --delete does it")
    return EXIT_OK


def _stock(keep_days: float, unregistered: bool) -> Any:
    from tasks.settings import Settings
    from tasks.workspace.prune import take_stock

    return take_stock(Settings.read(), keep_days=keep_days, unregistered=unregistered)
