"""Every kind of photo through the command, in one folder: nothing lost, nothing wrong, nothing silent."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pcakd.cli.stylize import plan_outputs
from pcakd.photos.images import read_photo
from pcakd.student.checkpoint import save_checkpoint
from tests import kinds
from tests.command import pcakd
from tests.corpus import photograph
from tests.models import random_checkpoint

KINDS = kinds.kinds()
RESULT = {".heic": ".png", ".gif": ".png", ".jp2": ".png", ".bmp": ".png", ".ppm": ".png"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    checkpoint = random_checkpoint()
    save_checkpoint(path, checkpoint.student, checkpoint.metadata)
    return path


@pytest.fixture(scope="module")
def album(tmp_path_factory, model):
    """A folder with a photo of every kind, with what is refused and what is none, after one command."""
    folder = tmp_path_factory.mktemp("album")
    photograph(2).save(folder / "style.png")
    (folder / "in" / "sub").mkdir(parents=True)
    for kind in KINDS:
        stem, _, suffix = kind.name.rpartition(".")
        (folder / "in" / f"{stem}-{suffix}.{suffix}").write_bytes(kind.data)
    for name, data, _, _ in kinds.refused():
        (folder / "in" / f"bad-{name}").write_bytes(data)
    for name in (".DS_Store", "._a.jpg", "notes.txt", "sub/Thumbs.db"):
        (folder / "in" / name).write_bytes(b"x")
    done = pcakd("stylize", "in", "--style", "style.png", "--out", "out", "--model", model, cwd=folder)
    return folder, done


def test_one_bad_photo_never_ends_the_others_and_each_is_named(album):
    folder, done = album
    assert done.returncode == 3
    skipped = [line for line in done.stderr.splitlines() if line.startswith("pcakd: skipped ")]
    assert len(skipped) == len(kinds.refused())
    for name, _, _, word in kinds.refused():
        assert any(f"bad-{name}" in line and word in line for line in skipped)
    count = len(KINDS) + len(kinds.refused())
    assert f"pcakd: {len(skipped)} of {count} photos skipped, {len(KINDS)} written" in done.stderr
    assert "pcakd: left out 4 that are no photos: " in done.stderr
    assert len(list((folder / "out").rglob("*.*"))) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_comes_out_whole(album, kind):
    folder, _ = album
    stem, _, suffix = kind.name.rpartition(".")
    path = folder / "out" / f"{stem}-{suffix}{RESULT.get(f'.{suffix}', f'.{suffix}')}"
    image = Image.open(path)
    assert image.size == kind.colours.shape[1::-1]
    assert getattr(image, "n_frames", 1) == kind.frames
    result = read_photo(path)
    source = read_photo(kind.data)
    assert result.bits == kind.bits
    if kind.alpha:
        assert np.array_equal(result.alpha, source.alpha)
    if kind.exif:
        assert result.metadata.exif.main == source.metadata.exif.main
        assert result.metadata.exif.gps == source.metadata.exif.gps
    if kind.rights:
        assert b"M\xc3\xbcller" in result.metadata.iptc + result.metadata.xmp
    if kind.dpi:
        assert result.metadata.resolution == pytest.approx((kind.dpi, kind.dpi), abs=0.1)


def test_what_a_format_has_no_room_for_is_said_with_a_word(album):
    _, done = album
    assert "mpo-jpg.jpg: the first of 2 pictures in it" in done.stderr
    assert "motion-jpg.jpg: the picture, not the video behind it" in done.stderr


@pytest.mark.parametrize(
    ("name", "out", "options", "message"),
    [
        ("moving.gif", "one.jpg", (), "moving.gif: has 3 frames, and JPEG holds one picture; write TIFF"),
        ("long.png", "long.webp", (), "long.png: has 17000×8 pixels, and WebP ends at 16,383 a side"),
        ("longer.png", "longer.jpg", (), "longer.png: has 66000×4 pixels, and JPEG ends at 65,500 a side"),
    ],
)
def test_what_a_format_cannot_hold_is_one_line(tmp_path, model, name, out, options, message):
    photograph(2).save(tmp_path / "style.png")
    (tmp_path / "moving.gif").write_bytes(kinds.animation("GIF"))
    Image.new("RGB", (17_000, 8)).save(tmp_path / "long.png")
    Image.new("RGB", (66_000, 4)).save(tmp_path / "longer.png")
    done = pcakd("stylize", name, "--style", "style.png", "--out", out, "--model", model, *options, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / out).exists()


def test_depth_and_colour_are_as_asked_for(tmp_path, model):
    photograph(2).save(tmp_path / "style.png")
    (tmp_path / "wide.png").write_bytes(
        kinds.png_chunks(kinds.deep(), (b"iCCP", b"p\0\0" + zlib.compress(kinds.p3_profile())))
    )
    options = ("--style", "style.png", "--model", model)
    for extra, bits, own in (((), 16, False), (("--depth", "8"), 8, False), (("--colour", "source"), 16, True)):
        done = pcakd("stylize", "wide.png", *options, "--out", "out.tif", *extra, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert read_photo(tmp_path / "out.tif").bits == bits
        assert (Image.open(tmp_path / "out.tif").info["icc_profile"] == kinds.p3_profile()) == own


def test_an_animation_is_written_as_gif_where_that_is_asked_for(tmp_path, model):
    photograph(2).save(tmp_path / "style.png")
    (tmp_path / "moving.gif").write_bytes(kinds.animation("GIF"))
    done = pcakd("stylize", "moving.gif", "--style", "style.png", "--out", "o.gif", "--model", model, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "256 colours" in done.stderr
    assert Image.open(io.BytesIO((tmp_path / "o.gif").read_bytes())).n_frames == 3


def test_a_result_that_cannot_be_written_is_named_and_does_not_end_the_others(tmp_path, model):
    photograph(2).save(tmp_path / "style.png")
    for name in ("a.jpg", "b.jpg"):
        photograph(1).save(tmp_path / name)
    (tmp_path / "out" / "a.jpg").mkdir(parents=True)  # in the way
    words = ("a.jpg", "b.jpg", "--style", "style.png", "--out", "out", "--model", model)
    done = pcakd("stylize", *words, cwd=tmp_path)
    assert done.returncode == 3
    assert "pcakd: skipped out/a.jpg: cannot be written" in done.stderr
    assert (tmp_path / "out" / "b.jpg").is_file()


def test_results_of_one_name_keep_their_photos_suffixes():
    contents = (Path("a.png"), Path("a.gif"), Path("a.heic"), Path("b.gif"))
    names = ["a.png", "a.gif.png", "a.heic.png", "b.png"]
    assert plan_outputs(contents, Path("out")) == [Path("out") / name for name in names]


def test_a_folder_whose_name_looks_like_a_suffix_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert plan_outputs((Path("a.jpg"),), Path("album.2026")) == [Path("album.2026/a.jpg")]
