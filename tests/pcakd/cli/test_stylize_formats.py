"""Every kind of photo in every format through the command and through Python; through bulk workers it is in
tests/tasks/bulk/test_workers.py.

At strength 0 a result has its photo's own colours, so that what a format and its metadata do can be seen.
"""

import io

import pytest
from click.testing import CliRunner

from pcakd.cli.stylize import stylize
from pcakd.errors import PhotoError
from pcakd.photos.image import PhotoImage
from pcakd.student.checkpoint import save_checkpoint
from pcakd.stylize.stylizer import Stylizer
from tests import kinds
from tests.command import pcakd
from tests.corpus import photograph
from tests.models import random_checkpoint
from tests.opened import SUFFIXES, check_opened, fits

KINDS = kinds.kinds()


pytestmark = pytest.mark.slow


def test_every_kind_in_every_format_comes_out_whole_or_with_a_line(tmp_path):
    checkpoint = random_checkpoint()
    save_checkpoint(tmp_path / "model.safetensors", checkpoint.student, checkpoint.metadata)
    photograph(2).save(tmp_path / "style.png")
    (tmp_path / "in").mkdir()
    # A photo is known by its content; the suffix that it is given here is that of its result.
    names = {(kind.name, format): f"{kind.name}{suffix}" for kind in KINDS for format, suffix in SUFFIXES.items()}
    for kind in KINDS:
        for format in SUFFIXES:
            if format != "GIF":  # what comes as GIF becomes PNG
                (tmp_path / "in" / names[kind.name, format]).write_bytes(kind.data)
    words = ("--strength", "0", "--out", "out", "--model", "model.safetensors")
    done = pcakd("stylize", "in", "--style", "style.png", *words, cwd=tmp_path)
    refused = [kind.name for kind in KINDS if not fits(kind, "JPEG")]
    lines = [line for line in done.stderr.splitlines() if line.startswith("pcakd: skipped ")]
    assert len(lines) == len(refused)
    for name in refused:
        assert any(f"{name}.jpeg: has 3" in line and "JPEG holds one picture" in line for line in lines)
    assert done.returncode == 3
    for kind in KINDS:
        for format in SUFFIXES:
            if format != "GIF" and fits(kind, format):
                check_opened(kind, (tmp_path / "out" / names[kind.name, format]).read_bytes(), format)


def test_every_kind_as_gif_comes_out_whole(tmp_path, monkeypatch):
    """A folder's results are never GIFs; a single one is, where --out says so."""
    monkeypatch.chdir(tmp_path)
    checkpoint = random_checkpoint()
    save_checkpoint(tmp_path / "model.safetensors", checkpoint.student, checkpoint.metadata)
    photograph(2).save(tmp_path / "style.png")
    words = ("--style", "style.png", "--strength", "0", "--out", "out.gif", "--model", "model.safetensors")
    for kind in KINDS:
        (tmp_path / kind.name).write_bytes(kind.data)
        done = CliRunner().invoke(stylize, [kind.name, *words], catch_exceptions=False)
        assert done.exit_code == 0, done.stderr
        assert "256 colours" in done.stderr
        check_opened(kind, (tmp_path / "out.gif").read_bytes(), "GIF")


@pytest.fixture(scope="module")
def images() -> dict[str, PhotoImage]:
    """Every kind as Python code gets it."""
    stylizer = Stylizer(random_checkpoint(), device="cpu")
    style = stylizer.style(photograph(2))
    return {kind.name: stylizer.stylize(kind.data, style, strength=0) for kind in KINDS}


@pytest.mark.parametrize("format", SUFFIXES)
def test_every_kind_in_every_format_is_saved_whole_or_refused_by_python(images, format):
    for kind in KINDS:
        buffer = io.BytesIO()
        if fits(kind, format):
            images[kind.name].save(buffer, format)
            check_opened(kind, buffer.getvalue(), format)
        else:
            with pytest.raises(PhotoError, match="JPEG holds one picture"):
                images[kind.name].save(buffer, format)
