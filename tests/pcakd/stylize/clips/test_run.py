"""Clips in a style: one look a shot, and everything else as it was."""

import itertools
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from skimage.data import coffee

from pcakd import Stylizer
from pcakd.errors import UsageError
from pcakd.stylize.clips.run import plan_clip, stylize_clip
from pcakd.stylize.options import StylizeOptions
from pcakd.video.clip import frames_of, open_clip
from pcakd.video.options import VideoOptions
from tests.pcakd.video.made import packets, pan, write

OPTIONS = StylizeOptions()


@pytest.fixture(scope="module")
def stylizer() -> Stylizer:
    return Stylizer.load("mobilenet", device="cpu")


@pytest.fixture(scope="module")
def style(stylizer):
    return stylizer.style(coffee(), render="look")


def stylized(stylizer, style, clip: Path, target: Path, **video):
    return stylize_clip(stylizer, clip, target, style, OPTIONS, VideoOptions(**video))


KINDS = [
    ("clip.mp4", "libx264", "yuv420p", "aac", (1, 1, 1, 1)),
    ("clip.mov", "libx265", "yuv420p10le", "aac", (2, 6, 6, 6)),
    ("clip.webm", "libvpx-vp9", "yuv420p", "libopus", (1, 5, 5, 6)),
    ("clip.mkv", "libsvtav1", "yuv420p10le", "flac", (1, 1, 1, 1)),
]


@pytest.mark.parametrize(("name", "codec", "pixels", "audio", "tags"), KINDS)
def test_frames_times_sound_depth_and_colour_tags_are_the_clips(
    stylizer, style, tmp_path, monkeypatch, name, codec, pixels, audio, tags
):
    monkeypatch.setenv("SVT_LOG", "1")
    clip = write(tmp_path / name, pan(12), codec=codec, pixels=pixels, audio=audio, tags=tags)
    target = tmp_path / f"out{clip.suffix}"
    _, notes = stylized(stylizer, style, clip, target)
    assert notes == []
    before, after = packets(clip, "video"), packets(target, "video")
    assert [p[:2] for p in after] == [p[:2] for p in before]
    assert packets(target, "audio") == packets(clip, "audio")
    own, made = open_clip(clip), open_clip(target)
    assert (made.codec, made.pixels, made.width, made.height) == (own.codec, own.pixels, own.width, own.height)
    assert made.tags == own.tags == type(own.tags)(tags[1], tags[0], tags[2], tags[3])


def test_variable_frame_rate_and_rotation_are_kept(stylizer, style, tmp_path):
    times = [0, 40, 80, 200, 210, 500, 540, 580, 900, 1000]
    clip = write(tmp_path / "phone.mp4", pan(10), times=times, rotation=90)
    stylized(stylizer, style, clip, tmp_path / "out.mp4")
    after = [time for time, _, _ in packets(tmp_path / "out.mp4", "video")]
    assert after == [time for time, _, _ in packets(clip, "video")]
    assert after[:4] == [Fraction(n, 1000) for n in times[:4]]
    assert open_clip(tmp_path / "out.mp4").matrix == open_clip(clip).matrix is not None


def test_a_held_look_makes_of_equal_colours_equal_colours_and_changes_at_the_cut(stylizer, style, tmp_path):
    pictures = [*itertools.repeat(next(pan(1)), 8), *itertools.repeat(next(pan(1, name="flower.jpg")), 8)]
    clip = write(tmp_path / "still.mkv", pictures, codec="ffv1", pixels="bgr0")
    frames = [frame.rgb for frame in stylizer.video(clip, style)]
    assert all(np.array_equal(frames[0], frame) for frame in frames[:8])
    assert all(np.array_equal(frames[8], frame) for frame in frames[8:])
    plan = plan_clip(stylizer, open_clip(clip), style, OPTIONS, VideoOptions())
    assert [course.first for course in plan.courses] == [0, 8]
    assert [len(course.looks) for course in plan.courses] == [1, 1]


def test_a_look_that_follows_goes_slowly_with_the_light(stylizer, style, tmp_path):
    pictures = [(picture * (1 - number / 50)).astype(np.uint8) for number, picture in enumerate(pan(30, step=0))]
    clip = open_clip(write(tmp_path / "dusk.mp4", pictures))
    (course,) = plan_clip(stylizer, clip, style, OPTIONS, VideoOptions(follow=0.4)).courses
    steps = [
        float((b.grid - a.grid).abs().mean()) for a, b in itertools.pairwise(map(course.at, np.arange(0, 1.2, 0.04)))
    ]
    whole = float((course.at(1.2).grid - course.at(0).grid).abs().mean())
    assert len(course.looks) > 3
    assert 0 < max(steps) < whole / 4


def test_a_clip_of_several_segments_is_whole(stylizer, style, tmp_path, monkeypatch):
    monkeypatch.setattr("pcakd.stylize.clips.run.SEGMENT", 8)
    clip = write(tmp_path / "long.mp4", pan(20), audio="aac")
    stylized(stylizer, style, clip, tmp_path / "out.mp4")
    assert [p[:2] for p in packets(tmp_path / "out.mp4", "video")] == [p[:2] for p in packets(clip, "video")]
    assert len(list(frames_of(open_clip(tmp_path / "out.mp4")))) == 20


@pytest.mark.parametrize("content", [b"", b"no clip at all", "audio", "cut"])
def test_what_is_no_clip_ends_in_one_line_and_leaves_nothing(stylizer, style, tmp_path, content):
    clip = tmp_path / "clip.mp4"
    if content == "audio":
        with av.open(str(clip), "w") as out:
            sound = out.add_stream("aac", 48000)
            tone = av.AudioFrame.from_ndarray(np.zeros((2, 960), np.float32), "fltp", "stereo")
            tone.sample_rate, tone.pts = 48000, 0
            out.mux(sound.encode(tone))
            out.mux(sound.encode())
    elif content == "cut":
        clip.write_bytes(write(tmp_path / "whole.mp4", pan(8)).read_bytes()[:-400])
        (tmp_path / "whole.mp4").unlink()
    else:
        clip.write_bytes(content)
    with pytest.raises(UsageError) as told:
        stylized(stylizer, style, clip, tmp_path / "out.mp4")
    assert "\n" not in str(told.value)
    assert os.listdir(tmp_path) == ["clip.mp4"]


def test_a_truncated_stream_gives_the_frames_that_there_are(stylizer, style, tmp_path):
    whole = write(tmp_path / "whole.mkv", pan(40))
    clip = tmp_path / "cut.mkv"
    clip.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    plan, _ = stylized(stylizer, style, clip, tmp_path / "out.mkv")
    assert 0 < plan.frames < 40
    assert len(packets(tmp_path / "out.mkv", "video")) == plan.frames


def test_odd_sizes_are_kept_and_hdr_is_refused(stylizer, style, tmp_path):
    odd = write(tmp_path / "odd.mkv", pan(4, size=(161, 91)), codec="ffv1", pixels="yuv420p")
    stylized(stylizer, style, odd, tmp_path / "odd.mp4", codec="h264")
    assert (open_clip(tmp_path / "odd.mp4").width, open_clip(tmp_path / "odd.mp4").height) == (161, 91)
    bright = write(tmp_path / "hdr.mkv", pan(4), codec="libx265", pixels="yuv420p10le", tags=(1, 9, 9, 16))
    with pytest.raises(UsageError, match=r"is HDR \(PQ\)"):
        open_clip(bright)


def test_an_interrupt_leaves_nothing_half_written(stylizer, style, tmp_path):
    clip = write(tmp_path / "clip.mp4", pan(12))

    def told(what: str, done: int, total: int | None) -> None:
        if what == "writing" and done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stylize_clip(stylizer, clip, tmp_path / "out.mp4", style, OPTIONS, VideoOptions(), told)
    assert os.listdir(tmp_path) == ["clip.mp4"]


def test_strength_zero_gives_the_clip_back(stylizer, style, tmp_path):
    clip = write(tmp_path / "clip.mkv", pan(4), codec="ffv1", pixels="bgr0")
    result = tmp_path / "out.mkv"
    stylize_clip(stylizer, clip, result, style, StylizeOptions(strength=0), VideoOptions())
    pairs = zip(frames_of(open_clip(clip)), frames_of(open_clip(result)), strict=True)
    assert all(np.array_equal(*(one.frame.to_ndarray(format="rgb24") for one in pair)) for pair in pairs)
