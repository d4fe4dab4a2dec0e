"""What would be uploaded: the sdist, and the wheel that is made of it."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from tests.base_install import Built, build
from tests.command import ROOT

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Built:
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def wheel(built) -> Files:
    with zipfile.ZipFile(built.wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def sdist(built) -> Files:
    with tarfile.open(built.sdist) as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
        return {member.name.partition("/")[2]: archive.extractfile(member).read() for member in members}


def metadata(wheel: Files) -> Message:
    (name,) = (name for name in wheel if name.endswith(".dist-info/METADATA"))
    return message_from_bytes(wheel[name])


def shipped() -> set[str]:
    """The packages' files as the repository has them."""
    folders = ("pcakd", "tasks", "flows")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    kept = [
        path for path in paths if path.suffix in (".py", ".j2", ".js", ".css", ".svg", ".toml", ".md", ".safetensors")
    ]
    return {str(path.relative_to(ROOT)) for path in kept}


@pytest.mark.slow
def test_an_index_would_take_both(built):
    command = [sys.executable, "-m", "twine", "check", "--strict", str(built.sdist), str(built.wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_wheel_holds_the_packages_and_nothing_else(wheel):
    found = {name for name in wheel if ".dist-info/" not in name}
    assert found == shipped()


@pytest.mark.slow
def test_the_sdist_holds_the_packages_and_no_tests(sdist):
    assert shipped() <= set(sdist)
    beside = {name.split("/")[0] for name in set(sdist) - shipped()}
    made = {"PKG-INFO", "setup.cfg", "pcakd.egg-info"}
    assert beside <= made | {"pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"}


@pytest.mark.slow
def test_both_say_under_what_licences_code_and_weights_are(wheel, sdist):
    licence = (ROOT / "LICENSE").read_bytes()
    assert [text for name, text in wheel.items() if name.endswith("/licenses/LICENSE")] == [licence]
    assert sdist["LICENSE"] == licence
    assert metadata(wheel)["License-Expression"] == "MIT"
    weights = [name for name in wheel if name.endswith(".safetensors")]
    assert weights
    assert all(b"icence" in wheel[name.replace(".safetensors", ".md")] for name in weights)


@pytest.mark.slow
def test_neither_tells_of_the_machine_that_it_was_made_on(built, wheel, sdist):
    folders = {str(ROOT), str(Path.home()), sys.prefix, str(built.wheel.parents[1]), os.path.dirname(os.__file__)}
    for files in (wheel, sdist):
        for name, content in files.items():
            assert not [folder for folder in folders if len(folder) > 1 and folder.encode() in content], name


@pytest.mark.slow
def test_what_the_base_requires_is_what_the_project_says(wheel):
    import tomllib

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = [line for line in metadata(wheel).get_all("Requires-Dist", []) if "extra ==" not in line]
    names = {re.split(r"[<>=\[ ]", line)[0] for line in declared["dependencies"]}
    assert {re.split(r"[<>=\[ ]", line)[0] for line in required} == names
    assert metadata(wheel)["Requires-Python"] == declared["requires-python"]
