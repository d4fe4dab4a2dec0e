"""Running the `pcakd` command as a user does."""

import os
import subprocess
import sys


def pcakd(*args: object, timeout: float = 300, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end; environment: variables beside this process's own."""
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *map(str, args)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def start_pcakd(*args: object, **environment: str) -> subprocess.Popen[str]:
    """Start the command; its output is thrown away."""
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *map(str, args)],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
