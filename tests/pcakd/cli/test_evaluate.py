import json

import pytest
from PIL import Image

from pcakd.student.checkpoint import save_checkpoint
from tests.command import pcakd
from tests.corpus import photograph
from tests.models import random_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    for name, backbone in (("ours", "vgg"), ("theirs", "mobilenet")):
        checkpoint = random_checkpoint(backbone)
        save_checkpoint(folder / f"{name}.safetensors", checkpoint.student, checkpoint.metadata)
    for part, start in (("content", 0), ("style", 20)):
        (folder / "pairs" / part).mkdir(parents=True)
        for i in range(2):
            photograph(start + i, 64, 80).save(folder / "pairs" / part / f"{i:02d}.jpg")
    return folder


@pytest.mark.slow
def test_two_models_and_the_baselines_stand_side_by_side_on_pairs_and_graded_photos(folder):
    done = pcakd(
        *("evaluate", "ours.safetensors", "--against", "theirs.safetensors", "--teacher", "theirs.safetensors"),
        *("--pairs", "pairs", "--graded", "pairs/content", "--json", "out/scores.json", "--pictures", "out"),
        *("--worst", "stray"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    words = ("ours", "theirs", "unchanged", "reinhard", "linear MK", "Gram", "across PSNR", "self PSNR", "s/MP", "FSIM")
    for word in (*words, "stray", "reconstruction", "±"):
        assert word in done.stdout
    record = json.loads((folder / "out" / "scores.json").read_text())
    methods = {"unchanged", "reinhard", "linear MK", "ours (paper's)", "ours", "theirs (paper's)", "theirs"}
    assert set(record["pairs"]["means"]) == set(record["graded"]["same"]["means"]) == methods
    assert "gram.3" in record["pairs"]["means"]["ours"]
    assert record["students"]["ours.safetensors"]["reconstruction"] > 0
    assert record["methods"]["ours (paper's)"]["compat"] == "released"
    assert record["methods"]["ours"]["compat"] == "pcakd"
    assert record["settings"]["teacher"]["digest"]
    assert Image.open(folder / "out" / "pairs-01.jpg").width > 7 * 300
    assert Image.open(folder / "out" / "graded-01.jpg").width > 8 * 300
    assert (
        Image.open(folder / "out" / "pairs-worst-stray-01.jpg").size == Image.open(folder / "out" / "pairs-01.jpg").size
    )


def test_a_model_is_measured_with_and_without_the_matched_grade(folder):
    done = pcakd(
        *("evaluate", "ours.safetensors", "--graded", "pairs/content", "--kind", "same", "--limit", "1"),
        *("--compat", "released", "--compat", "pcakd"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert "ours (released)" in done.stdout
    assert "ours (pcakd)" in done.stdout
    assert "across" not in done.stdout


def test_without_teacher_weights_pairs_are_measured_without_style_losses(folder):
    done = pcakd("evaluate", "ours.safetensors", "--pairs", "pairs", "--limit", "1", cwd=folder, PCAKD_TEACHERS="")
    assert done.returncode == 0
    assert "no style losses" in done.stderr
    assert "edge SSIM" in done.stdout
    assert "Gram" not in done.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "give --pairs DIR or --graded PHOTOS"),
        (("--graded", "nowhere"), "nowhere: no such folder"),
        (("--pairs", "pairs/content"), "no such folder"),
        (("--graded", "pairs/content", "--against", "ours.safetensors"), "given twice"),
        (("--pairs", "pairs", "--teacher", "nobody"), "nobody"),
        (("--pairs", "pairs", "--worst", "stray"), "give --pairs DIR and --pictures DIR"),
    ],
)
def test_mistakes_are_one_line(folder, args, message):
    done = pcakd("evaluate", "ours.safetensors", *args, cwd=folder)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_worst_by_a_style_loss_needs_a_teacher(folder):
    args = ("--pairs", "pairs", "--worst", "gram", "--pictures", "out")
    done = pcakd("evaluate", "ours.safetensors", *args, cwd=folder, PCAKD_TEACHERS="")
    assert (done.returncode, "--worst gram is measured in a teacher's features" in done.stderr) == (2, True)
