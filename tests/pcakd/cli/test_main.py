"""How commands end: one line, and an exit code of the table in `pcakd.errors`, whatever went wrong."""

import importlib
import os
import re
import subprocess
import sys

import click
import pytest

from pcakd import errors
from pcakd.cli.main import run
from pcakd.errors import PcakdError, TransientError
from tests.command import ROOT

CODES = {errors.EXIT_USAGE, errors.EXIT_TRANSIENT, errors.EXIT_FATAL}


def ends(error: BaseException) -> int:
    """The exit code of a command that raises this."""

    @click.command()
    def command():
        raise error

    return run(command, [])


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (TransientError("the storage is away"), 4, "pcakd: the storage is away"),
        (ValueError("no\nsense"), 5, "pcakd: ValueError: no sense: a defect"),
        (KeyError("x" * 1000), 5, "PCAKD_DEBUG=1"),
        (PermissionError(13, "Permission denied", "/x"), 5, "pcakd: /x: Permission denied"),
        (MemoryError(), 5, "out of memory"),
        (KeyboardInterrupt(), 130, "pcakd: interrupted"),
        (click.Abort(), 130, "pcakd: interrupted"),
        (SystemExit("the library has had enough"), 5, "SystemExit: the library has had enough"),
        (click.FileError("/x", "gone"), 2, "'/x'"),
        (click.UsageError("no such thing"), 2, "no such thing"),
        (ModuleNotFoundError("No module named 'ray'", name="ray"), 2, 'pip install "pcakd[pipeline]"'),
        (ModuleNotFoundError("No module named 'x'", name="x"), 5, "No module named 'x'"),
    ],
)
def test_every_error_ends_in_one_line_and_a_code_of_the_table(error, code, says, capsys):
    assert ends(error) == code
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert says in line
    assert len(line) < 450


def test_the_traceback_is_shown_where_it_is_asked_for(capsys, monkeypatch):
    monkeypatch.setenv("PCAKD_DEBUG", "1")
    assert ends(ValueError("no sense")) == 5
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.splitlines()[-1].startswith("pcakd: ValueError")


def test_every_error_of_the_project_has_a_code_of_the_table():
    for package in ("pcakd", "tasks", "flows"):
        for path in (ROOT / package).rglob("*.py"):
            if re.search(r"^class \w+\(\w*Error\):", path.read_text(), re.MULTILINE):
                importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    found = [PcakdError]
    for error in found:
        found.extend(error.__subclasses__())
    assert len(found) > 10
    assert {error.exit_code for error in found} == CODES


def test_who_stops_reading_the_output_makes_no_error():
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from flows.cli import main; main()", "--help"],
        cwd=ROOT,
        stdout=_closed_pipe(),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def _closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return writer
