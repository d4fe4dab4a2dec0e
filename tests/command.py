"""The `pcakd` command as a user runs it: in a process of its own.

Most calls fork from a server process that has imported PyTorch once; `fresh=True` starts Python anew, for
tests of what a start itself does.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["torch", "pcakd.stylizer", "pcakd.cli.stylize", "flows.cli"])


def pcakd(
    *args: object, cwd: Path | None = None, module: str = "flows.cli", fresh: bool = False, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command; the finished process with stdout and stderr as text. It must not end in a traceback."""
    variables = {"PYTHONPATH": str(ROOT), "COLUMNS": "120"} | environment
    words = [str(arg) for arg in args]
    if fresh:
        done = subprocess.run(
            [sys.executable, "-m", module, *words],
            cwd=cwd or ROOT,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    else:
        done = _forked(words, cwd or ROOT, dict(os.environ) | variables)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def _forked(words: list[str], cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / "stdout", Path(folder) / "stderr"]
        process = _context.Process(target=_child, args=(words, str(cwd), environment, [str(p) for p in outputs]))
        process.start()
        process.join(300)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"pcakd {' '.join(words)} did not end in 300 s")
        stdout, stderr = (path.read_text() if path.exists() else "" for path in outputs)
        return subprocess.CompletedProcess(words, process.exitcode, stdout, stderr)


def _child(words: list[str], cwd: str, environment: dict[str, str], outputs: list[str]) -> None:
    for descriptor, path in zip((1, 2), outputs, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = ["pcakd", *words]
    from flows.cli import main

    main()
