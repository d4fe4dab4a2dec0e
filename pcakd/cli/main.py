"""The `pcakd` command with what the method alone can do; `flows.cli` adds the stages to it."""

import importlib
import os
import sys
import traceback
from collections.abc import Mapping

import click

from pcakd.cli.extra import INSTALL, brought_by_pipeline
from pcakd.environment import setting
from pcakd.errors import EXIT_FATAL, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, PcakdError

COMMANDS = {
    "stylize": ("pcakd.cli.stylize:stylize", "Give photos the style of another photo."),
    "stylize-video": ("pcakd.cli.stylize_video:stylize_video", "Give clips the style of a photo, without flicker."),
    "look": ("pcakd.cli.look:look_command", "Save what a style does to photos: as a LUT, or as a grid."),
    "apply": ("pcakd.cli.look:apply_command", "Give photos a saved look, or any .cube."),
    "ui": ("pcakd.cli.ui:ui", "Open a page in the browser: see, tune, compare, hand over."),
    "evaluate": ("pcakd.cli.evaluate:evaluate", "Measure models on pairs and graded photos."),
    "s3-policy": ("pcakd.cli.s3_policy:s3_policy_command", "Print the S3 rights that a job needs, as IAM JSON."),
    "import-released": ("pcakd.cli.import_released:import_released", "Convert the paper's released model."),
}
"""Command name → (where it lives, its line in `pcakd --help`); imported when it is called, so that help is quick."""

EPILOG = (
    "Exit codes: 0 done, 2 usage, 3 finished with some objects failed, 4 gave up (retry may help), 5 fatal, "
    "130 interrupted."
)
LONGEST = 300
"""Characters of an error that nobody foresaw."""


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


def run(group: click.Command, args: list[str] | None = None) -> int:
    """Run a command line; the exit code, one of the table in `pcakd.errors` whatever happens.

    An error is one line on standard error, never a traceback, unless PCAKD_DEBUG asks for it.
    """
    output = sys.stdout
    try:
        result = group.main(args=args, prog_name="pcakd", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else EXIT_OK
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return EXIT_USAGE
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        # Whoever reads the output has seen enough; Click makes a SystemExit of that, and wraps the output.
        if isinstance(error, BrokenPipeError) or (isinstance(error, SystemExit) and sys.stdout is not output):
            os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
            return EXIT_OK
        if setting("PCAKD_DEBUG"):
            traceback.print_exc()
        code, message = told(error)
        click.echo(f"pcakd: {message}", err=True)
        return code


def told(error: BaseException) -> tuple[int, str]:
    """The exit code of an error that ends a command, and its line."""
    match error:
        case PcakdError():
            return error.exit_code, str(error)
        case click.UsageError():
            hint = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
            return EXIT_USAGE, f"{error.format_message()}{hint}"
        case click.ClickException():
            return EXIT_USAGE, error.format_message()
        case click.Abort() | KeyboardInterrupt():
            return EXIT_INTERRUPTED, "interrupted"
        case ModuleNotFoundError() if brought_by_pipeline(error):
            return EXIT_USAGE, f"this needs {error.name}, not installed here; install the stages' extra: {INSTALL}"
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return EXIT_FATAL, f"{where}{error.strerror or error}"
        case MemoryError():
            return EXIT_FATAL, "out of memory; give it less to do at once, or a machine with more"
    words = " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST]
    return EXIT_FATAL, f"{words}: a defect, please report it; PCAKD_DEBUG=1 shows where it happened"
