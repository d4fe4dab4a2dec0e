"""Clips in a style: one look a shot, and a result that is whole or not there."""

import errno
import itertools
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pcakd.errors import FatalError
from pcakd.stylize.clips.run import encoded, plan_clip, stylize_clip
from pcakd.stylize.options import StylizeOptions
from pcakd.video.clip import frames_of, open_clip
from pcakd.video.codecs import choose_writing
from pcakd.video.options import VideoOptions
from tests.pcakd.video.made import packets, pan, write

OPTIONS = StylizeOptions()
slow = pytest.mark.slow
SNOW = np.random.default_rng(0).integers(0, 256, (8, 120, 160, 3)).astype(np.uint8)


def test_a_held_look_makes_of_equal_colours_equal_colours_and_changes_at_the_cut(stylizer, style, tmp_path):
    pictures = [*itertools.repeat(next(pan(1)), 8), *itertools.repeat(next(pan(1, name="flower.jpg")), 8)]
    clip = write(tmp_path / "still.mkv", pictures, codec="ffv1", pixels="bgr0")
    frames = [frame.rgb for frame in stylizer.video(clip, style)]
    assert all(np.array_equal(frames[0], frame) for frame in frames[:8])
    assert all(np.array_equal(frames[8], frame) for frame in frames[8:])
    plan = plan_clip(stylizer, open_clip(clip), style, OPTIONS, VideoOptions())
    assert [course.first for course in plan.courses] == [0, 8]
    assert [len(course.looks) for course in plan.courses] == [1, 1]


def test_within_a_shot_a_colour_becomes_one_colour_wherever_and_whenever_it_is_seen(stylizer, style, tmp_path):
    pictures = list(pan(12, size=(64, 48), step=9))
    clip = write(tmp_path / "pan.mkv", pictures, codec="ffv1", pixels="bgr0")
    became: dict[bytes, set[bytes]] = {}
    for picture, frame in zip(pictures, stylizer.video(clip, style, one_shot=True), strict=True):
        for own, made in zip(picture.reshape(-1, 3)[::7], frame.rgb.reshape(-1, 3)[::7], strict=True):
            became.setdefault(own.tobytes(), set()).add(made.tobytes())
    assert len(became) > 500
    assert all(len(made) == 1 for made in became.values())


def test_of_a_still_scene_the_mean_colour_does_not_drift_by_anything_in_the_file_either(stylizer, style, tmp_path):
    clip = write(tmp_path / "still.mkv", itertools.repeat(next(pan(1)), 12), codec="ffv1", pixels="yuv420p")
    stylize_clip(stylizer, clip, tmp_path / "out.mkv", style, OPTIONS, VideoOptions())
    means = [
        timed.frame.to_ndarray(format="rgb24").mean((0, 1)) for timed in frames_of(open_clip(tmp_path / "out.mkv"))
    ]
    assert all(np.array_equal(mean, means[0]) for mean in means)


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


def test_where_light_falls_a_held_look_falls_as_the_clip_does_and_keeps_its_colours(stylizer, style, tmp_path):
    lights = np.linspace(1, 0.4, 30)
    pictures = [(picture * light).astype(np.uint8) for picture, light in zip(pan(30, step=0), lights, strict=True)]
    clip = write(tmp_path / "dusk.mp4", pictures)
    kept, ignored = (
        [frame.rgb.astype(float) for frame in stylizer.video(clip, style, light=light)] for light in ("keep", "ignore")
    )
    falls = [one.mean() / frames[0].mean() for frames in (pictures, kept, ignored) for one in (frames[-1],)]
    assert falls[1] == pytest.approx(falls[0], rel=0.08)
    assert abs(falls[2] - falls[0]) > abs(falls[1] - falls[0])

    def hues(frame: np.ndarray) -> np.ndarray:
        return frame.mean((0, 1)) / frame.mean()

    assert hues(kept[-1]) == pytest.approx(hues(kept[0]), abs=0.06)
    (course,) = plan_clip(stylizer, open_clip(clip), style, OPTIONS, VideoOptions()).courses
    assert len(course.looks) == 1
    for still in (VideoOptions(light="ignore"), VideoOptions(follow=1.0)):
        assert plan_clip(stylizer, open_clip(clip), style, OPTIONS, still).courses[0].light is None


def test_strength_zero_gives_the_clip_back(stylizer, style, tmp_path):
    clip = write(tmp_path / "clip.mkv", pan(4), codec="ffv1", pixels="bgr0")
    result = tmp_path / "out.mkv"
    stylize_clip(stylizer, clip, result, style, StylizeOptions(strength=0), VideoOptions())
    pairs = zip(frames_of(open_clip(clip)), frames_of(open_clip(result)), strict=True)
    assert all(np.array_equal(*(one.frame.to_ndarray(format="rgb24") for one in pair)) for pair in pairs)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("clip.mkv", "ffv1")]
    + [pytest.param(*one, marks=slow) for one in (("clip.mp4", "libx264"), ("clip.webm", "libvpx-vp9"))],
)
def test_however_it_is_cut_into_segments_a_clip_is_whole(stylizer, style, tmp_path, monkeypatch, name, codec):
    clip = write(tmp_path / name, pan(20, size=(64, 48)), codec=codec, audio="aac" if name == "clip.mp4" else "")
    found = []
    for length in (8, 1000):
        monkeypatch.setattr("pcakd.stylize.clips.plan.SEGMENT", length)
        target = tmp_path / f"{length}{clip.suffix}"
        stylize_clip(stylizer, clip, target, style, OPTIONS, VideoOptions())
        found.append([(timed.time, timed.frame.to_ndarray(format="rgb24")) for timed in frames_of(open_clip(target))])
    assert [time for time, _ in found[0]] == [time for time, _ in found[1]]
    assert len(packets(tmp_path / f"8{clip.suffix}", "video")) == 20
    # Lossless: equal; else as near as two encodings of one picture are.
    worst = max(float(np.abs(a.astype(int) - b.astype(int)).mean()) for (_, a), (_, b) in zip(*found, strict=True))
    assert worst == 0 if codec == "ffv1" else worst < 2


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("clip.mp4", "libx264", {"g": "10"}),
        pytest.param("open.mkv", "libx265", {"x265-params": "log-level=error:keyint=9:open-gop=1"}, marks=slow),
        pytest.param("clip.webm", "libvpx-vp9", {"g": "7"}, marks=slow),
        pytest.param("clip.ts", "mpeg2video", {"g": "6"}, marks=slow),
        pytest.param("raw.h264", "libx264", {}, marks=slow),
        pytest.param("clip.gif", "gif", {}, marks=slow),
        pytest.param("old.avi", "mpeg4", {"g": "8", "bf": "2"}, marks=slow),
    ],
)
def test_segments_that_are_made_apart_are_those_of_one_piece(
    stylizer, style, tmp_path, monkeypatch, name, codec, options
):
    monkeypatch.setattr("pcakd.stylize.clips.plan.SEGMENT", 8)
    pixels = "rgb8" if codec == "gif" else "yuv420p"
    clip = open_clip(write(tmp_path / name, pan(30, size=(64, 48)), codec=codec, pixels=pixels, **options))
    plan = plan_clip(stylizer, clip, style, OPTIONS, VideoOptions())
    writing = choose_writing(clip, Path("out.mkv"), VideoOptions(codec="h264"))
    whole = list(encoded(clip, plan, writing, range(4)))
    assert len(whole) == plan.frames == 30
    assert [
        packet for part in (range(1), range(1, 3), range(3, 4)) for packet in encoded(clip, plan, writing, part)
    ] == whole


@pytest.mark.parametrize(
    "codec", ["h264", *(pytest.param(name, marks=slow) for name in ("hevc", "vp9", "av1", "ffv1"))]
)
def test_the_same_frames_become_the_same_packets_whatever_was_encoded_before(stylizer, style, tmp_path, codec):
    random, noise = np.random.default_rng(0), write(tmp_path / "noise.mkv", SNOW, codec="ffv1")
    found = set()
    clips = [open_clip(write(tmp_path / "clip.mkv", pan(8))), open_clip(noise)]
    plans = [plan_clip(stylizer, clip, style, OPTIONS, VideoOptions()) for clip in clips]
    for _ in range(6):
        crf = None if codec == "ffv1" else int(random.integers(20, 50))
        other = choose_writing(clips[1], Path("out.mkv"), VideoOptions(codec=codec, crf=crf))
        list(encoded(clips[1], plans[1], other, range(1)))
        writing = choose_writing(clips[0], Path("out.mkv"), VideoOptions(codec=codec))
        found.add(tuple(encoded(clips[0], plans[0], writing, range(1))))
    assert len(found) == 1


def test_the_same_clip_becomes_the_same_bytes(stylizer, style, tmp_path):
    clip = write(tmp_path / "clip.mp4", pan(6, size=(64, 48)), audio="aac")
    for target in ("a.mp4", "b.mp4"):
        stylize_clip(stylizer, clip, tmp_path / target, style, OPTIONS, VideoOptions())
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_an_interrupt_leaves_nothing_half_written(stylizer, style, tmp_path):
    clip = write(tmp_path / "clip.mp4", pan(12))

    def told(what: str, done: int, total: int | None) -> None:
        if what == "writing" and done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stylize_clip(stylizer, clip, tmp_path / "out.mp4", style, OPTIONS, VideoOptions(), told)
    assert os.listdir(tmp_path) == ["clip.mp4"]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The kernel refuses to let a file of this process grow beyond: writing fails as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("name", "codec", "room"),
    [
        ("clip.mp4", "libx264", 0),
        ("clip.mkv", "libx264", 1000),
        ("clip.webm", "libvpx-vp9", 300),
        ("noise.mkv", "ffv1", 100_000),
    ],
)
def test_a_disk_that_is_full_is_said_and_leaves_what_was_there(stylizer, style, tmp_path, name, codec, room):
    pictures = SNOW if name == "noise.mkv" else pan(4, size=(64, 48))
    clip, target = write(tmp_path / name, pictures, codec=codec), (tmp_path / "out").with_suffix(Path(name).suffix)
    target.write_bytes(b"of yesterday")
    with pytest.raises(FatalError) as told, files_of_at_most(room):
        stylize_clip(stylizer, clip, target, style, OPTIONS, VideoOptions())
    assert str(target) in str(told.value)
    assert os.strerror(errno.EFBIG) in str(told.value)
    assert target.read_bytes() == b"of yesterday"
    assert sorted(os.listdir(tmp_path)) == sorted([name, target.name])
