"""`pcakd stylize-video` as a user runs it."""

import os
import signal
import time

import av
import pytest

from tests.command import forked_pcakd, pcakd
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
        (["street.mp4", "--out", "street.webm", "--codec", "h264"], "has no room for h264; it takes vp9, av1"),
        (["street.mp4", "--codec", "prores", "--out", "a.mov", "--crf", "20"], "crf is 20: prores has none"),
        (["evening.jpg/none.mp4"], "none.mp4"),
        (["street.mp4", "--strength", "3"], "strength"),
    ],
)
def test_a_mistake_is_one_line(folder, words, told):
    done = run(folder, *words)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert told in line


@pytest.mark.slow
def test_ctrl_c_while_a_result_is_written_leaves_nothing_of_it(folder):
    made.write(folder / "long.mp4", made.pan(400, step=1))
    (folder / "out").mkdir()
    command = ["stylize-video", "long.mp4", "--style", "evening.jpg", "--model", "student.safetensors", "--out", "out"]
    with forked_pcakd(command, folder, dict(os.environ)) as (process, (_, stderr)):
        deadline = time.monotonic() + 120
        while not list((folder / "out").iterdir()) and time.monotonic() < deadline:
            time.sleep(0.005)
        begun = [path.name for path in (folder / "out").iterdir()]
        os.kill(process.pid, signal.SIGINT)
        process.join(60)
        assert process.exitcode == 130
        assert stderr.read_text().strip() == "pcakd: interrupted"
    assert len(begun) == 1
    assert begun != ["long.mp4"]
    assert list((folder / "out").iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_one_line(folder):
    (folder / "file").write_bytes(b"")
    done = run(folder, "street.mp4", "--out", "file/inside")
    assert done.returncode in (2, 5)
    (line,) = done.stderr.strip().splitlines()
    assert "file" in line
