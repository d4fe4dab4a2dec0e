"""The wheel in empty environments of every Python that the machine offers: `make test-pythons`.

Run: python -m tests.pythons [--extra NAME …] [--python FILE …]

For each Python of 3.11 and later, found on the PATH or among pyenv's, and for each set of extras: a new virtual
environment, the wheel and what it requires from the package index, and `pcakd` run from it as a user would, away from
this tree. Gigabytes are fetched, so this is no part of `make test`. Prints a table; exit code 1 if any line fails.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import numpy as np
from PIL import Image

from tests.base_install import BaseInstall, build, uv

OLDEST = 11
EXTRAS = ("", "pipeline", "heic,video,ui")
ASK = "import sys; print('%d.%d.%d' % sys.version_info[:3])"


def pythons() -> dict[str, Path]:
    """Interpreters by version, one of each minor version, oldest first."""
    names = [which(f"python3.{minor}") for minor in range(OLDEST, 30)]
    places = [Path(name) for name in [sys.executable, *names] if name]
    places += sorted((Path.home() / ".pyenv" / "versions").glob("3.*/bin/python3"), reverse=True)
    found: dict[tuple[int, ...], tuple[str, Path]] = {}
    for place in places:
        told = subprocess.run([place, "-c", ASK], capture_output=True, text=True, check=False)
        if told.returncode:  # pyenv has names on the PATH for versions that are switched off
            continue
        version = told.stdout.strip()
        minor = tuple(map(int, version.split(".")))[:2]
        if minor >= (3, OLDEST):
            found.setdefault(minor, (version, place))
    return dict(found[minor] for minor in sorted(found))


def commands(folder: Path, extras: str) -> Iterator[list[object]]:
    """What a user of these extras would try first. folder: holds photo.png and style.png."""
    yield ["pcakd", "--help"]
    yield ["pcakd", "stylize", folder / "photo.png", "--style", folder / "style.png", "--out", folder / "out.png"]
    if "pipeline" in extras:
        yield ["pcakd", "shard", folder / "photos", folder / "shards"]
        yield ["pcakd", "stylize-bucket", folder / "photos", folder / "styled", "--style", folder / "style.png"]
        yield ["python", "-c", "import flows.distillation_pipeline, flows.stylize_bucket"]
    if "heic" in extras:
        yield ["python", "-c", "import pillow_heif, av, fastapi, pcakd.ui, pcakd.video"]


def tried(python: Path, wheel: Path, extras: str, folder: Path) -> str:
    """Why this wheel does not work with these extras; "" if it does."""
    environment = BaseInstall(folder / "venv")
    target = f"{wheel}[{extras}]" if extras else wheel
    steps: list[list[object]] = [
        ["venv", "--python", python, environment.folder],
        ["pip", "install", "--python", environment.python, target],
    ]
    for words in steps:
        if (done := uv(*words)).returncode:
            return f"uv {words[0]}: {_last(done.stderr)}"
    seed = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for name in ("photo.png", "style.png", "photos/0.png", "photos/1.png"):
        Image.fromarray(seed.integers(0, 256, (96, 128, 3), np.uint8)).save(folder / name)
    for command in commands(folder, extras):
        done = environment.run(*command, cwd=folder)
        if done.returncode:
            return f"{' '.join(map(str, command[:2]))}: exit code {done.returncode}: {_last(done.stderr)}"
    if Image.open(folder / "out.png").size != (128, 96):
        return "out.png has another size than photo.png"
    return ""


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["said nothing"])[-1]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extra", action="append", help=f"extras, comma between  [default: each of {EXTRAS}]")
    parser.add_argument("--python", action="append", type=Path, help="interpreters  [default: all that are found]")
    args = parser.parse_args()
    found = {str(place): place for place in args.python} if args.python else pythons()
    failed = False
    print("| Python | extras | | seconds |\n| --- | --- | --- | ---: |")
    with tempfile.TemporaryDirectory(prefix="pcakd-pythons-") as name:
        wheel = build(Path(name)).wheel
        for version, python in found.items():
            for extras in args.extra or EXTRAS:
                with tempfile.TemporaryDirectory(dir=name) as place:
                    begun = time.monotonic()
                    why = tried(python, wheel, extras, Path(place))
                failed |= bool(why)
                seconds = time.monotonic() - begun
                print(f"| {version} | {extras or 'none'} | {why or 'works'} | {seconds:.0f} |", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
