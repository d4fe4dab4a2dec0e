"""The `pcakd` command as a user runs it: in a process of its own.

Most calls fork from a server process that has imported once what commands need; `fresh=True` starts Python anew, for
tests of what a start itself does. Commands that may start Ray start anew, unless a test that starts none says
`fresh=False`.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

from flows.cli import PIPELINE_COMMANDS

ROOT = Path(__file__).resolve().parents[1]

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        *("torch", "pcakd.stylize.stylizer", "pcakd.cli.stylize", "flows.cli"),
        # For bulk commands and evaluations; pandas is what PyArrow imports when it is first given a list.
        *("pandas", "pcakd.bulk.plan", "tasks.bulk.command", "pcakd.evaluation.evaluate", "pcakd.evaluation.report"),
    ]
)


def pcakd(
    *args: object,
    cwd: Path | None = None,
    module: str = "flows.cli",
    fresh: bool | None = None,
    timeout: float = 300,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run the command; the finished process with stdout and stderr as text. It must not end in a traceback.

    environment: variables beside this process's own; timeout in seconds.
    """
    variables = {"PYTHONPATH": str(ROOT), "COLUMNS": "120"} | environment
    words = [str(arg) for arg in args]
    pipeline = bool(words) and words[0] in PIPELINE_COMMANDS
    if fresh or (pipeline and fresh is None):
        done = subprocess.run(
            [sys.executable, "-m", module, *words],
            cwd=cwd or Path.cwd(),
            env=os.environ | variables,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    else:
        done = _forked(words, cwd or Path.cwd(), dict(os.environ) | variables, timeout)
    # Ray repeats its workers' logs, tracebacks of killed ones too.
    assert pipeline or "Traceback" not in done.stderr, done.stderr
    return done


def start_pcakd(*args: object, **environment: str) -> subprocess.Popen[str]:
    """Start the command; its output is thrown away."""
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *map(str, args)],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@contextmanager
def forked_pcakd(words: list[str], cwd: Path, environment: dict[str, str]) -> Iterator[tuple[BaseProcess, list[Path]]]:
    """The command while it runs, and the files of its stdout and stderr."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / "stdout", Path(folder) / "stderr"]
        process = _context.Process(target=_child, args=(words, str(cwd), environment, [str(p) for p in outputs]))
        process.start()
        yield process, outputs


def _forked(
    words: list[str], cwd: Path, environment: dict[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    with forked_pcakd(words, cwd, environment) as (process, outputs):
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"pcakd {' '.join(words)} did not end in {timeout:g} s")
        stdout, stderr = (path.read_text() if path.exists() else "" for path in outputs)
        return subprocess.CompletedProcess(words, process.exitcode, stdout, stderr)


def _child(words: list[str], cwd: str, environment: dict[str, str], outputs: list[str]) -> None:
    for descriptor, path in zip((1, 2), outputs, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    # A background job of a shell inherits "ignore"; a person's terminal does not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = ["pcakd", *words]
    from flows.cli import main

    main()
