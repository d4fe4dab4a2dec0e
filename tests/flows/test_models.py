"""`make models` from a copy of the repository, with a small recipe: real Prefect, Ray and MLflow."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.models import main
from pcakd.errors import UsageError
from pcakd.student.checkpoint import Checkpoint, load_checkpoint
from tests.flows.small import parameters
from tests.servers.processes import new_prefect_home

ROOT = Path(__file__).parents[2]
LICENCE = "made for this test"


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """The tracked files alone."""
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def make_models(
    clone: Path, photos: Path, recipe: Path, teacher: str, folder: Path, out: str = "models", words: str = ""
) -> Checkpoint:
    new_prefect_home(folder / "prefect")
    words += f" --recipe {recipe} --licence '{LICENCE}' --out {folder / out} --workspace {folder / 'workspace'}"
    environment = os.environ | {
        "PYTHONPATH": str(clone),
        "PCAKD_HOME": str(folder / "home"),
        "PREFECT_HOME": str(folder / "prefect"),
        "MLFLOW_TRACKING_URI": "",
        "PCAKD_NUM_CPUS": "2",
        "OMP_NUM_THREADS": "1",
        "RAY_AUTH_MODE": "disabled",
    }
    venv = Path(sys.executable).parents[1]
    # What is installed is as it should be, however young the copied lock is.
    done = subprocess.run(
        [
            *("make", f"VENV={venv}", "-o", f"{venv}/.installed"),
            *("models", f"PHOTOS={photos}", f"TEACHERS={teacher}", f"MODELS={words}"),
        ],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return load_checkpoint(folder / out / "mobilenet.safetensors")


@pytest.mark.parametrize(("option", "value"), [("--begin-with", "vgg"), ("--channels", "6,8,10,12")])
def test_of_several_teachers_each_has_a_student_to_begin_with_and_widths(option, value, tmp_path):
    with pytest.raises(UsageError, match=f"{option} is given 1 times for 2 teachers: once for each"):
        main.main(
            [str(tmp_path), *("--teacher", "vgg"), *("--teacher", "mobilenet"), *(option, value)],
            standalone_mode=False,
        )


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_make_models_makes_student_and_card_and_the_same_weights_each_time_and_goes_on_from_them(
    clone, assets, tmp_path
):
    small = parameters(assets, tmp_path, steps=8)
    recipe, photos = Path(small["distillation"]["recipe"]), tmp_path / "photos"
    recipe.write_text(recipe.read_text() + "style_photos = 1\nstyle_every = 2\nstyle_crop = 64\n")
    photos.mkdir()
    for path in sorted((assets / "photos_small").glob("*.jpg"))[:24]:
        shutil.copy(path, photos)
    first, second = (
        make_models(clone, photos, recipe, small["teacher"], tmp_path / name, words="--channels 6,8,10,12")
        for name in ("one", "two")
    )
    assert first.metadata.spec.channels == (6, 8, 10, 12)
    for name, tensor in first.student.state_dict().items():
        assert (tensor - second.student.state_dict()[name]).abs().max() <= 1e-6, name
    card = (tmp_path / "one" / "models" / "mobilenet.md").read_text()
    assert card.startswith("# mobilenet\n")
    for told in (
        "flow run ",
        first.metadata.data_digest,
        "mobilenet-v1",
        LICENCE,
        "transfers between photos",
        "same.psnr",
    ):
        assert told in card, card
    model = tmp_path / "one" / "models" / "mobilenet.safetensors"
    on = make_models(clone, photos, recipe, small["teacher"], tmp_path / "one", "on", f"--begin-with {model} --steps 2")
    assert on.digest != first.digest
    assert on.metadata.spec == first.metadata.spec
    assert f"**Begun with**: the weights of `{model}`" in (tmp_path / "one" / "on" / "mobilenet.md").read_text()
