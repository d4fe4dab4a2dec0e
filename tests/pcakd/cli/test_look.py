import re

import numpy as np
import pytest
from PIL import Image

from tests.command import pcakd
from tests.corpus import photograph


@pytest.fixture
def photos(tmp_path):
    for number in range(3):
        photograph(number, 96, 128).save(tmp_path / f"{number}.png")
    photograph(5, 64, 96).save(tmp_path / "style.png")
    return tmp_path


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def test_a_grid_applied_to_its_photo_is_what_stylize_makes_of_it(photos):
    model = ("--model", "mobilenet")
    done = pcakd("look", "0.png", "--style", "style.png", "--out", "a.safetensors", *model, cwd=photos)
    assert (done.returncode, done.stdout) == (0, "a.safetensors\n")
    assert pcakd("apply", "a.safetensors", "0.png", "--out", "applied.png", cwd=photos).returncode == 0
    assert pcakd("stylize", "0.png", "--style", "style.png", "--out", "o.png", *model, cwd=photos).returncode == 0
    assert np.array_equal(pixels(photos / "applied.png"), pixels(photos / "o.png"))
    assert pcakd("apply", "a.safetensors", "0.png", "--out", "z.png", "--strength", "0", cwd=photos).returncode == 0
    assert np.array_equal(pixels(photos / "z.png"), pixels(photos / "0.png"))


def test_a_series_table_is_what_same_look_makes_of_each_photo_and_says_how_far_it_is(photos):
    contents, model = ("0.png", "1.png", "2.png"), ("--model", "mobilenet")
    done = pcakd("look", *contents, "--style", "style.png", "--out", "a.cube", *model, cwd=photos)
    assert done.returncode == 0, done.stderr
    assert re.search(r"from the full result on 3 photos: ΔE \d+\.\d in the mean, \d+\.\d at the 95th", done.stdout)
    assert pcakd("apply", "a.cube", *contents, "--out", "applied", cwd=photos).returncode == 0
    command = ("stylize", *contents, "--style", "style.png", "--same-look", "--out", "same", *model)
    assert pcakd(*command, cwd=photos).returncode == 0
    for name in contents:
        difference = np.abs(pixels(photos / "applied" / name) - pixels(photos / "same" / name))
        assert difference.mean() < 1


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("look", "0.png", "--style", "style.png", "--out", "a.txt"), "suffix"),
        (("look", "none.png", "--style", "style.png", "--out", "a.cube", "--model", "mobilenet"), "no such file"),
        (("apply", "0.png", "1.png", "--out", "o.png"), "no HaldCLUT"),
        (("apply", "none.cube", "1.png", "--out", "o.png"), "none.cube"),
        (
            ("stylize", "0.png", "--style", "style.png", "--same-look", "--render", "full", "--model", "mobilenet"),
            "leave out",
        ),
    ],
)
def test_mistakes_end_in_one_line(command, said, photos):
    done = pcakd(*command, cwd=photos)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
