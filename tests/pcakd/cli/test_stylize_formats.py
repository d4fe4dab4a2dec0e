"""Every kind of photo in every format through the command: one folder, one process.

At strength 0 a result has its photo's own colours, so that what a format and its metadata do can be seen.
"""

import pytest

from pcakd.student.checkpoint import save_checkpoint
from tests import kinds
from tests.command import pcakd
from tests.corpus import photograph
from tests.models import random_checkpoint
from tests.opened import SUFFIXES, check_opened, fits

KINDS = kinds.kinds()


@pytest.mark.slow
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
