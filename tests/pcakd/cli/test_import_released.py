import io

import numpy as np
import pytest
from PIL import Image

from tests.command import pcakd


@pytest.fixture(scope="module", params=[("vgg", "283,236"), ("mobilenet", "52,742")], ids=["vgg", "mobilenet"])
def imported(request, assets, tmp_path_factory):
    backbone, weights = request.param
    path = tmp_path_factory.mktemp(backbone) / "model.safetensors"
    done = pcakd("import-released", assets / f"released_tf/{backbone}", "--out", path)
    assert done.returncode == 0, done.stderr
    assert f"{weights} weights" in done.stdout
    return backbone, path


@pytest.mark.parametrize("pair", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_the_authors_published_pictures_are_reproduced(imported, assets, tmp_path, pair):
    backbone, model = imported
    demo = assets / "official_demo"
    out = tmp_path / "out.jpg"
    photos = [demo / "content" / f"{pair}.jpeg", "--style", demo / "style" / f"{pair}.jpeg"]
    # 75 is the quality that the published pictures were saved with.
    done = pcakd("stylize", *photos, "--model", model, "--resize-like-authors", "--quality", 75, "--out", out)
    assert done.returncode == 0, done.stderr
    published = (demo / f"results_{backbone}" / f"{pair}.jpg").read_bytes()
    theirs = np.asarray(Image.open(io.BytesIO(published)), dtype=float)
    ours = np.asarray(Image.open(out), dtype=float)
    assert ours.shape == theirs.shape
    psnr = 10 * np.log10(255**2 / ((ours - theirs) ** 2).mean())
    assert psnr >= 42


def test_a_folder_without_the_files_is_one_line_and_exit_code_2(tmp_path):
    done = pcakd("import-released", tmp_path, "--out", tmp_path / "m.safetensors")
    assert done.returncode == 2
    assert "sencoder.index: no such file" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_output_of_another_kind_is_refused(assets, tmp_path):
    done = pcakd("import-released", assets / "released_tf/vgg", "--out", tmp_path / "model.bin")
    assert done.returncode == 2
    assert "ends in .safetensors" in done.stderr
