"""`pcakd registry`: who is champion, since when and why; promote, roll back, reject, pin; two side by side."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pcakd.cli.extra import need_pipeline
from pcakd.cli.options import field_option, field_options
from pcakd.errors import EXIT_OK, EXIT_PARTIAL, UsageError
from pcakd.shadow.config import ShadowJob
from pcakd.stylize.options import StylizeOptions

EXAMPLES = """\b
Examples:
  pcakd registry list
  pcakd registry show pcakd-vgg
  pcakd registry compare pcakd-vgg champion challenger
  pcakd registry shadow pcakd-vgg@challenger --source s3://photos --style evening.jpg --sample 200
  pcakd registry rollback pcakd-vgg --why "green skies"
  pcakd registry promote pcakd-vgg 7 --why "the editors like it better"
  pcakd registry reject pcakd-vgg 8 --why "blobs"
  pcakd registry pin pcakd-vgg --why "the catalogue is in print"
  pcakd registry pin pcakd-vgg --lift

\b
VERSION is a number, or an alias: champion, challenger.
The registry is the one at MLFLOW_TRACKING_URI, else that of PCAKD_WORKSPACE."""

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@click.group("registry", epilog=EXAMPLES, short_help="Registered students: who is champion; promote, roll back, pin.")
def registry() -> None:
    """Look at the registered students and say who is champion.

    Flows promote through the gate. A version that a person rolled back from or rejected is promoted by no flow, and
    while a pin holds the champion stays. All of it is kept in the registry, with who, when and why.
    """
    need_pipeline("pcakd registry")


def _reasoned(lift: str = "") -> Decorator:
    """The options of what changes the registry."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        command = click.option("--by", "who", default="", metavar="NAME", help="Who did it.  [default: user@host]")(
            command
        )
        command = click.option("--why", default="", metavar="TEXT", help="Kept in the history.")(command)
        return click.option("--lift", is_flag=True, help=lift)(command) if lift else command

    return decorate


json_option = click.option("--json", "as_json", is_flag=True, help="For a program: JSON.")


@registry.command("list")
@json_option
def list_models(as_json: bool) -> int:
    """The registered models, one line each."""
    from tasks.registry.show import model_lines, models

    found = models(_settings())
    click.echo(json.dumps(found, indent=1) if as_json else "\n".join(model_lines(found)))
    return 0


@registry.command()
@click.argument("name")
@click.argument("version", required=False)
@json_option
def show(name: str, version: str | None, as_json: bool) -> int:
    """A model's history and versions, or all that is known of one version."""
    from tasks.registry.show import history_lines, model_record, version_lines, version_record

    settings = _settings()
    if version is None:
        found, lines = model_record(name, settings), history_lines
    else:
        found, lines = version_record(name, _version(name, version), settings), version_lines
    click.echo(json.dumps(found, indent=1) if as_json else "\n".join(lines(found)))
    return 0


@registry.command()
@click.argument("name")
@click.argument("one", metavar="VERSION")
@click.argument("other", metavar="VERSION")
def compare(name: str, one: str, other: str) -> int:
    """The scores of two versions side by side."""
    from tasks.registry.show import compared_lines, version_record

    settings = _settings()
    records = [version_record(name, _version(name, text), settings) for text in (one, other)]
    click.echo("\n".join(compared_lines(*records)))
    return 0


@registry.command()
@click.argument("name")
@click.argument("version")
@_reasoned()
def promote(name: str, version: str, why: str, who: str) -> int:
    """Make a version champion, whatever the gate says of it."""
    from tasks.registry.champion import promote_by_hand
    from tasks.registry.show import version_record

    settings, number = _settings(), _version(name, version)
    move = promote_by_hand(name, number, why=why, who=who, settings=settings)
    _tell(name, move, f"version {number} is the champion already")
    if move is not None and "misses a floor" in (reason := version_record(name, number, settings)["reason"]):
        click.echo(f"pcakd: the gate's word on it was: {reason}", err=True)
    return 0


@registry.command()
@click.argument("name")
@click.option("--to", metavar="VERSION", help="Go back to this one.  [default: the champion before]")
@_reasoned()
def rollback(name: str, to: str | None, why: str, who: str) -> int:
    """Go back to the champion before this one; no flow promotes this one again."""
    from tasks.registry.champion import roll_back

    move = roll_back(name, to=_version(name, to) if to else 0, why=why, who=who, settings=_settings())
    _tell(name, move, "")
    return 0


@registry.command()
@click.argument("name")
@click.argument("version")
@_reasoned(lift="It may be promoted again.")
def reject(name: str, version: str, lift: bool, why: str, who: str) -> int:
    """Let a version never be promoted."""
    from tasks.registry import champion

    number = _version(name, version)
    move = champion.reject(name, number, lift=lift, why=why, who=who, settings=_settings())
    _tell(name, move, f"version {number} is {'not rejected' if lift else 'rejected already'}")
    return 0


@registry.command()
@click.argument("name")
@_reasoned(lift="Flows and people may change the champion again.")
def pin(name: str, lift: bool, why: str, who: str) -> int:
    """Keep the champion until the pin is lifted."""
    from tasks.registry import champion

    move = champion.pin(name, lift=lift, why=why, who=who, settings=_settings())
    _tell(name, move, "no pin holds" if lift else "a pin holds already")
    return 0


@registry.command()
@click.argument("challenger")
@field_option(ShadowJob, "source", "--source")
@field_option(ShadowJob, "styles", "--style", metavar="PLACE")
@field_option(ShadowJob, "champion", "--beside", metavar="MODEL")
@field_options(ShadowJob, "sample", "include", "exclude")
@field_options(StylizeOptions, "transform", "strength", "smoothing", "compat", "render")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Put the page here, too.")
def shadow(challenger: str, out: Path | None, **options: Any) -> int:
    """Compare CHALLENGER and the champion on a sample of production's photos and styles.

    CHALLENGER: as pcakd-vgg@challenger, pcakd-vgg/7, or a checkpoint file (then with --beside). One page side by side,
    the largest differences first, in the workspace and in MLflow. Nobody is promoted.
    """
    job = ShadowJob(challenger=_address(challenger), **options | {"champion": _address(options["champion"])})
    from pcakd.files import write_atomic
    from pcakd.photos.outcomes import NO_FAILURES
    from pcakd.storage import open_storage
    from tasks.registry.shadow import PAGE, shadow_stage, summary_lines
    from tasks.stages.session import open_session

    _settings()
    with open_session("shadow-student") as session:
        result = shadow_stage.fn(session, **vars(job))
    if out is not None:
        write_atomic(out, open_storage(result.place).read(PAGE))
    click.echo("\n".join(summary_lines(result.manifest, result.place)))
    return EXIT_OK if set(result.manifest["status"]) <= NO_FAILURES else EXIT_PARTIAL


def _address(model: str) -> str:
    """models:/ may be left out of a name with an alias or a version, where no file is called so."""
    named = re.fullmatch(r"[\w.-]+(@[\w.-]+|/[0-9]+)", model)
    return f"models:/{model}" if named and not os.path.exists(model) else model


def _tell(name: str, move: Any, nothing: str) -> None:
    click.echo(f"{name}: {move.words()}" if move is not None else f"{name}: {nothing}; nothing to do")


def _settings() -> Any:
    """Raises UsageError where a local registry is not there: looking at one must not make it."""
    from pcakd.errors import UsageError
    from tasks.settings import Settings
    from tasks.tracking.store import sqlite_file

    settings = Settings.read()
    database = sqlite_file(settings.tracking_uri)
    if database is not None and not database.is_file():
        raise UsageError(
            f"no model registry at {database}; set MLFLOW_TRACKING_URI, or PCAKD_WORKSPACE to the workspace"
        )
    return settings


def _version(name: str, text: str) -> int:
    """A version as people name it: 3, v3, champion, @challenger, models:/pcakd-vgg/3."""
    text = text.removeprefix(f"models:/{name}").lstrip("/@")
    if match := re.fullmatch(r"v?([0-9]+)", text):
        return int(match[1])
    from tasks.registry.show import version_of_alias

    number = version_of_alias(name, text, _settings())
    if number is None:
        raise UsageError(f"{name}: {text!r} is no version and no alias of it; give a number, champion or challenger")
    return number
