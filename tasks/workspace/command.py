"""`pcakd workspace`: what the workspace holds, who needs it, and the removal of what nobody needs."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from pcakd.cli.extra import need_pipeline
from pcakd.cli.options import field_options
from pcakd.errors import EXIT_OK
from pcakd.fields import chosen
from pcakd.units import counted, shown_bytes
from tasks.workspace.config import PruneOptions

if TYPE_CHECKING:
    from tasks.workspace.prune import Stock

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


@workspace.command("list")
@field_options(PruneOptions, "keep_days", "unregistered")
@click.option("--json", "as_json", is_flag=True, help="For a program: JSON.")
def list_outputs(as_json: bool, **options: Any) -> int:
    """Every output: what it is, its size, and why it stays."""
    from tasks.workspace.show import lines, records

    stock = _stock(options)
    click.echo(json.dumps(records(stock), indent=1) if as_json else "\n".join(lines(stock)))
    return EXIT_OK


@workspace.command()
@field_options(PruneOptions)
def prune(**options: Any) -> int:
    """Remove the outputs that nobody needs; without --delete say which these are."""
    from tasks.workspace.prune import remove
    from tasks.workspace.show import line

    stock = _stock(options)
    unneeded = stock.unneeded
    size = shown_bytes(sum(one.bytes for one in unneeded))
    if not unneeded:
        click.echo(f"{stock.workspace.uri()}: every output is needed")
    elif options["delete"]:
        remove(stock, holder="pcakd workspace prune", removed=lambda one: click.echo(f"removed {line(one)}"))
        click.echo(f"{counted(len(unneeded), 'output')} removed, {size}")
    else:
        for one in unneeded:
            click.echo(line(one))
        click.echo(f"{counted(len(unneeded), 'output')}, {size}, would be removed; --delete does it")
    return EXIT_OK


def _stock(options: Mapping[str, Any]) -> "Stock":
    from tasks.settings import Settings
    from tasks.workspace.prune import take_stock

    return take_stock(Settings.read(), chosen(PruneOptions, options))
