"""The `pcakd` command with what the method alone can do; `flows.cli` adds the stages and flows to it."""

import importlib
import os
import signal
import sys
from collections.abc import Mapping

import click

from pcakd.errors import EXIT_FATAL, EXIT_USAGE, PcakdError

COMMANDS = {
    "stylize": ("pcakd.cli.stylize:stylize", "Give photos the style of another photo."),
    "evaluate": ("pcakd.cli.evaluate:evaluate", "Measure models on pairs and graded photos."),
    "distill": ("pcakd.cli.distill:distill", "Distil a student from a teacher and its eigenbases."),
    "s3-policy": ("pcakd.cli.s3_policy:s3_policy_command", "Print the S3 rights that a job needs, as IAM JSON."),
    "import-released": ("pcakd.cli.import_released:import_released", "Convert the paper's released model."),
}
"""Command name → (where it lives, its line in `pcakd --help`); imported when it is called, so that help is quick."""

EPILOG = "Exit codes: 0 done, 2 usage, 3 finished with some objects failed, 4 gave up (retry may help), 5 fatal."


class LazyGroup(click.Group):
    """A group that imports a command's module only when the command is run."""

    def __init__(self, *, commands_by_name: Mapping[str, tuple[str, str]], **options) -> None:
        super().__init__(**options)
        self.commands_by_name = dict(commands_by_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands_by_name)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands_by_name:
            return None
        module, _, attribute = self.commands_by_name[cmd_name][0].partition(":")
        return getattr(importlib.import_module(module), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self.commands_by_name.items()])


def make_group(commands: Mapping[str, tuple[str, str]]) -> LazyGroup:
    """The `pcakd` group over a table like `COMMANDS`."""
    group = LazyGroup(
        name="pcakd",
        commands_by_name=commands,
        help="Distil lightweight photorealistic style-transfer models and run them over photos.\n\n"
        "PCA-based knowledge distillation (Chiu & Gurari, CVPR 2022).",
        epilog=EPILOG,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    return click.version_option(package_name="pcakd", prog_name="pcakd")(group)


def run(group: click.Group, args: list[str] | None = None) -> int:
    """Run a command line; the exit code. A user's mistake is one line on standard error, never a traceback."""
    try:
        result = group.main(args=args, prog_name="pcakd", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return EXIT_USAGE
    except click.UsageError as error:
        hint = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        click.echo(f"pcakd: {error.format_message()}{hint}", err=True)
        return EXIT_USAGE
    except click.ClickException as error:
        click.echo(f"pcakd: {error.format_message()}", err=True)
        return EXIT_USAGE
    except PcakdError as error:
        click.echo(f"pcakd: {error}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("pcakd: interrupted", err=True)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"pcakd: {where}{error.strerror or error}", err=True)
        return EXIT_FATAL


def main() -> None:
    """Entry point of `python -m pcakd`: the commands that need neither Ray nor Prefect nor MLflow."""
    sys.exit(run(make_group(COMMANDS)))
