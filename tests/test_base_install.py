"""`pip install pcakd` without the `pipeline` extra: the method works, and the stages say what they lack."""

import re

import numpy as np
import pytest
from PIL import Image

from flows.cli import PIPELINE_COMMANDS
from pcakd.cli.extra import INSTALL, PACKAGES
from tests.base_install import BaseInstall, make_base_install
from tests.command import ROOT
from tests.pcakd.distillation import parts

STAGES = {
    "shard": ["photos", "shards"],
    "fit-eigenbases": ["shards", "--teacher", "teacher.safetensors", "--out", "fitted"],
    "distill": ["photos", "--eigenbases", "bases", "--teacher", "teacher.safetensors", "--out", "x.safetensors"],
    "stylize-bucket": ["photos", "stylized", "--style", "photos/00.png"],
    "send-tracking": [],
    "registry": ["list"],
    "workspace": ["list"],
}
"""A command line of each that would do something."""
STAGES["distill"] += ["--workers", "2"]  # without it Ray is not needed


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> BaseInstall:
    return make_base_install(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return parts.write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.mark.slow
def test_what_the_extra_brings_is_absent(base, tmp_path):
    look = f"from importlib.util import find_spec; print([find_spec(n) for n in {PACKAGES}])"
    assert base.run("python", "-c", look, cwd=tmp_path).stdout.strip() == str([None] * len(PACKAGES))


@pytest.mark.slow
@pytest.mark.parametrize("command", PIPELINE_COMMANDS)
def test_a_stage_is_refused_in_one_line_that_says_what_to_install(base, inputs, command):
    before = sorted(inputs.rglob("*"))
    done = base.run("pcakd", command, *STAGES[command], cwd=inputs)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith(INSTALL)
    assert f"pcakd {command}" in line
    assert sorted(inputs.rglob("*")) == before
    assert base.run("pcakd", command, "--help", cwd=inputs).returncode == 0


@pytest.mark.slow
def test_a_registered_model_is_refused_in_one_line_too(base, inputs):
    registry = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    done = base.run(
        "pcakd", "stylize", "photos/00.png", "--style", "photos/01.png", "--model=models:/a@b", cwd=inputs, **registry
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith(INSTALL)


@pytest.mark.slow
def test_both_ways_to_start_it_are_one_program(base, tmp_path):
    one, other = (base.run(*words, "--help", cwd=tmp_path) for words in (["pcakd"], ["python", "-m", "pcakd"]))
    assert one.returncode == other.returncode == 0
    assert one.stdout == other.stdout
    assert all(re.search(rf"^  {name} ", one.stdout, re.MULTILINE) for name in PIPELINE_COMMANDS)


@pytest.mark.slow
def test_a_photo_is_stylized(base, inputs, tmp_path):
    done = base.run(
        "pcakd", "stylize", inputs / "photos" / "00.png", "--style", inputs / "photos" / "01.png", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert np.asarray(Image.open(tmp_path / "00.stylized.png")).shape == (80, 80, 3)


@pytest.mark.slow
def test_a_student_is_distilled_in_one_process(base, inputs, tmp_path):
    options = [f"--out={tmp_path / 'm.safetensors'}", "--recipe=recipe.toml", "--held-out=photos", "--steps=2"]
    distill = STAGES["distill"][: STAGES["distill"].index("--out")]
    done = base.run("python", "-m", "pcakd", "distill", *distill, *options, cwd=inputs)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["2 steps", str(tmp_path / "m.safetensors")]


def test_the_extra_is_what_the_stages_import_of_it():
    """Packages of the extra that the code imports are those whose absence is told."""
    imported = set()
    for package in ("tasks", "flows"):
        for path in (ROOT / package).rglob("*.py"):
            imported |= set(re.findall(r"^\s*(?:import|from) (\w+)", path.read_text(), re.MULTILINE))
    assert set(PACKAGES) <= imported
    import tomllib

    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["pipeline"]
    names = {re.match(r"[\w-]+", line)[0].replace("-", "_") for line in extra}
    assert imported & names <= set(PACKAGES)
