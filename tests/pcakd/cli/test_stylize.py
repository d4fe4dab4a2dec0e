import os
import signal
import time

import numpy as np
import pytest
from PIL import Image

from pcakd.cli.stylize import plan_outputs
from pcakd.errors import UsageError
from pcakd.student.checkpoint import save_checkpoint
from tests.command import ROOT, forked_pcakd, pcakd
from tests.corpus import bad_photos, encode, photograph
from tests.models import random_checkpoint

BAD = bad_photos()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    checkpoint = random_checkpoint()
    save_checkpoint(path, checkpoint.student, checkpoint.metadata)
    return path


@pytest.fixture
def photos(tmp_path):
    photograph(0).save(tmp_path / "style.png")
    photograph(1).save(tmp_path / "content.jpg")
    return tmp_path


def test_two_photos_give_one_of_the_contents_size(photos, model):
    done = pcakd("stylize", "content.jpg", "--style", "style.png", "--out", "out.png", "--model", model, cwd=photos)
    assert (done.returncode, done.stdout, done.stderr) == (0, "out.png\n", "")
    assert Image.open(photos / "out.png").size == Image.open(photos / "content.jpg").size


def test_without_out_the_result_stands_here_under_a_telling_name(photos, model):
    done = pcakd("stylize", photos / "content.jpg", "--style", photos / "style.png", "--model", model, cwd=photos)
    assert done.stdout == "content.stylized.jpg\n"
    assert (photos / "content.stylized.jpg").is_file()


def test_bad_photos_among_good_ones_are_reported_and_skipped(photos, model):
    for sample in BAD:
        (photos / sample.name).write_bytes(sample.data)
    names = ["content.jpg", *(sample.name for sample in BAD)]
    command = ["stylize", *names, "--style", "style.png", "--out", "results", "--model", model]
    done = pcakd(*command, cwd=photos)
    assert done.returncode == 3
    lines = done.stderr.splitlines()
    assert len(lines) == len(BAD) + 1
    for sample, line in zip(BAD, lines, strict=False):
        assert line.startswith(f"pcakd: skipped {sample.name}: ")
    assert lines[-1] == f"pcakd: {len(BAD)} of {len(names)} photos skipped, 1 written"
    assert [path.name for path in (photos / "results").iterdir()] == ["content.jpg"]


@pytest.mark.parametrize("sample", BAD, ids=lambda s: s.name)
def test_one_bad_photo_alone_ends_with_one_line_and_exit_code_2(photos, model, sample):
    (photos / sample.name).write_bytes(sample.data)
    done = pcakd("stylize", sample.name, "--style", "style.png", "--out", "out.png", "--model", model, cwd=photos)
    assert done.returncode == 2
    assert done.stderr.startswith(f"pcakd: {sample.name}: ")
    assert len(done.stderr.splitlines()) == 1
    assert not (photos / "out.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jpg", "--style", "style.png"], "none.jpg: no such file"),
        (["content.jpg", "--style", "none.png"], "none.png: no such file"),
        (["content.jpg"], "Missing option '--style'"),
        (["content.jpg", "--style", "style.png", "--transform", "wct"], "'wct' is not one of"),
        (["content.jpg", "--style", "style.png", "--strength", "2"], "strength is 2.0"),
        (["content.jpg", "--style", "style.png", "--quality", "0"], "quality is"),
        (["content.jpg", "--style", "style.png", "--out", "out.xyz"], "cannot write .xyz"),
        (["content.jpg", "--style", "style.png", "--out", "content.jpg"], "is a content photo"),
        (["content.jpg", "style.png", "--style", "style.png", "--out", "o.png"], "one file for 2 contents"),
        (["content.jpg", "--style", "style.png", "--content-mask", "style.png"], "go together"),
        (["content.jpg", "--style", "style.png", "--memory-limit", "lots"], "'lots' is not a memory size"),
        (["content.jpg", "--style", "style.png", "--memory-limit", "100MB"], "memory limit is 100 MiB: give 640 MiB"),
        (["content.jpg", "--style", "style.png", "--max-pixels", "100"], "over the limit of 100"),
        (["content.jpg", "--style", "style.png", "--model", "none"], "none: no such model"),
        (["content.jpg", "--style", "style.png", "--model", "style.png"], "not a whole safetensors file"),
        (["content.jpg", "--style", "style.png", "--no-such-option"], "No such option"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(photos, model, arguments, message):
    extra = [] if "--model" in arguments else ["--model", model]
    done = pcakd("stylize", *arguments, *extra, cwd=photos)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_saved_style_gives_the_same_picture_as_its_photo(photos, model):
    first = ["--style", "style.png", "--save-style", "style.safetensors", "--out", "a.png"]
    assert pcakd("stylize", "content.jpg", *first, "--model", model, cwd=photos).returncode == 0
    second = ["--style", "style.safetensors", "--out", "b.png"]
    assert pcakd("stylize", "content.jpg", *second, "--model", model, cwd=photos).returncode == 0
    assert (photos / "a.png").read_bytes() == (photos / "b.png").read_bytes()


def test_masks_of_another_size_are_taken(photos, model):
    mask = np.zeros((10, 14, 3), np.uint8)
    mask[:, :7] = (255, 0, 0)
    (photos / "mask.png").write_bytes(encode(Image.fromarray(mask), "PNG"))
    masks = ["--content-mask", "mask.png", "--style-mask", "mask.png"]
    done = pcakd(
        "stylize", "content.jpg", "--style", "style.png", *masks, "--out", "o.png", "--model", model, cwd=photos
    )
    assert done.returncode == 0, done.stderr


def test_an_interrupt_leaves_no_half_written_file(photos, model):
    for i in range(100):
        (photos / f"{i:03}.jpg").write_bytes((photos / "content.jpg").read_bytes())
    names = [f"{i:03}.jpg" for i in range(100)]
    command = ["stylize", *names, "--style", "style.png", "--out", "results", "--model", str(model)]
    with forked_pcakd(command, photos, dict(os.environ)) as (process, (_, stderr)):
        deadline = time.monotonic() + 60
        while not list((photos / "results").glob("*.jpg")) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        process.join(60)
        assert process.exitcode == 130
        assert stderr.read_text().strip() == "pcakd: interrupted"
    written = list((photos / "results").iterdir())
    assert 0 < len(written) < 100
    for path in written:
        assert path.suffix == ".jpg"
        Image.open(path).load()


def test_two_contents_of_one_name_are_found_before_anything_is_written(tmp_path):
    with pytest.raises(UsageError, match="would both be written"):
        plan_outputs((tmp_path / "a" / "x.jpg", tmp_path / "b" / "x.jpg"), tmp_path / "out")


def test_help_names_every_command_and_every_option():
    overview = pcakd("--help", fresh=True)
    assert overview.returncode == 0
    for command in ("stylize", "import-released"):
        assert command in overview.stdout
        page = pcakd(command, "--help").stdout
        assert "Example" in page
    options = pcakd("stylize", "--help").stdout
    for option in ("--style", "--out", "--model", "--transform", "--strength", "--smoothing", "--content-mask"):
        assert option in options
    for option in (
        "--style-mask",
        "--device",
        "--precision",
        "--quality",
        "--max-pixels",
        "--resize-like-authors",
        "--memory-limit",
    ):
        assert option in options


def test_the_core_command_runs_without_the_pipelines_packages(photos, model):
    blocker = photos / "blocked"
    for name in ("ray", "prefect", "mlflow", "boto3"):
        (blocker / name).mkdir(parents=True)
        (blocker / name / "__init__.py").write_text("raise ImportError('not on this machine')\n")
    command = ["stylize", "content.jpg", "--style", "style.png", "--out", "o.png", "--model", model]
    done = pcakd(*command, cwd=photos, fresh=True, module="pcakd", PYTHONPATH=f"{blocker}{os.pathsep}{ROOT}")
    assert done.returncode == 0, done.stderr
