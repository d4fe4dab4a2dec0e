"""An environment as `pip install pcakd` makes it: the built wheel, and the base dependencies alone.

Nothing is fetched: sdist and wheel are built, and the wheel installed, with the project's own pinned tools, and the
packages that it requires without the `pipeline` extra are links to those of this environment. What the extra brings is
truly absent.
"""

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.command import ROOT

SOURCES = ("pcakd", "tasks", "flows", "tests", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")


@dataclass(frozen=True)
class BaseInstall:
    """folder: of the virtual environment."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def site(self) -> Path:
        (found,) = self.folder.glob("lib/python3*/site-packages")
        return found

    def run(self, *words: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, in a process that sees none of this project's tree."""
        variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RAY_ADDRESS")}
        program, *rest = map(str, words)
        return subprocess.run(
            [str(self.folder / "bin" / program), *rest],
            cwd=cwd,
            env=variables | {"COLUMNS": "120", "OMP_NUM_THREADS": "1"} | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@dataclass(frozen=True)
class Built:
    """What would be uploaded."""

    sdist: Path
    wheel: Path


def build(folder: Path) -> Built:
    """The sdist of a copy of this tree, and the wheel that is built from that sdist."""
    source, dist = folder / "source", folder / "dist"
    source.mkdir(parents=True)
    for name in SOURCES:  # a copy: building leaves files behind, and would take up those of an earlier build
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source / name)
    _offline("build", "--no-build-isolation", "--python", sys.executable, "--out-dir", dist, source)
    (sdist,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    return Built(sdist, wheel)


def make_base_install(folder: Path) -> BaseInstall:
    """Build the wheel and install it into a new environment in `folder`."""
    environment, wheel = BaseInstall(folder / "venv"), build(folder).wheel
    venv.create(environment.folder, symlinks=True)
    _offline("pip", "install", "--no-deps", "--python", environment.python, wheel)
    (installed,) = (one for one in Distribution.discover(path=[str(environment.site)]) if one.name == "pcakd")
    for package in _required(installed.requires or []):
        for name in _top_level(package):
            link = environment.site / name
            if not link.exists():
                link.symlink_to(Path(str(package.locate_file(name))).resolve())
    return environment


def uv(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the project's own uv."""
    program = Path(sys.executable).with_name("uv")
    return subprocess.run([program, *map(str, words)], capture_output=True, text=True, timeout=1800, check=False)


def _offline(*words: object) -> None:
    done = uv(*words, "--offline")
    assert done.returncode == 0, done.stderr


def _required(requirements: Iterable[str]) -> list[Distribution]:
    """The distributions that these requirements bring, theirs too."""
    found: dict[str, Distribution] = {}
    waiting = [(Requirement(text), "") for text in requirements]
    seen = set()
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        found.setdefault(name, distribution(name))
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                waiting += [(Requirement(text), wanted) for text in found[name].requires or []]
    return list(found.values())


def _top_level(package: Distribution) -> set[str]:
    """What a distribution has in site-packages."""
    return {file.parts[0] for file in package.files or [] if file.parts[0] not in ("..", "__pycache__")}
