"""`pcakd stylize-video` as a user runs it."""

import av
import pytest

from tests.command import pcakd
from tests.corpus import jpeg
from tests.pcakd.video import made
from tests.tasks.bulk import jobs


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "evening.jpg").write_bytes(jpeg(3))
    jobs.student(tmp_path)
    made.write(tmp_path / "street.mp4", made.pan(6))
    return tmp_path


def run(folder, *words):
    return pcakd("stylize-video", *words, "--style", "evening.jpg", "--model", "student.safetensors", cwd=folder)


def test_a_clip_is_written_beside_where_one_stands_with_all_its_frames(folder):
    done = run(folder, "street.mp4")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("street.stylized.mp4: 6 frames, 1 shot")
    with av.open(str(folder / "street.stylized.mp4")) as clip:
        assert len(list(clip.decode(video=0))) == 6


def test_of_several_clips_a_bad_one_is_skipped_and_named(folder):
    (folder / "junk.mp4").write_bytes(b"no clip at all" * 100)
    done = run(folder, "street.mp4", "junk.mp4", "--out", "evening")
    assert done.returncode == 3
    first, last = done.stderr.strip().splitlines()[-2:]
    assert first.startswith("pcakd: skipped junk.mp4: ")
    assert last == "pcakd: 1 of 2 clips skipped, 1 written"
    assert [path.name for path in (folder / "evening").iterdir()] == ["street.mp4"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere.mp4"], "nowhere.mp4: no such clip"),
        (["street.mp4", "--out", "street.mp4"], "is one of the clips"),
        (["street.mp4", "--out", "street.gif"], "street.gif"),
        (["street.mp4", "--strength", "3"], "strength"),
    ],
)
def test_a_mistake_is_one_line(folder, words, told):
    done = run(folder, *words)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert told in line
