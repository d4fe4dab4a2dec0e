"""Clips that are damaged, odd, or no clips: a result, or one line."""

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pcakd.errors import NotFoundError, PcakdError, UsageError
from pcakd.stylize.clips.run import stylize_clip
from pcakd.stylize.options import StylizeOptions
from pcakd.video.clip import open_clip
from pcakd.video.options import VideoOptions
from tests.corpus import jpeg
from tests.pcakd.video.made import PLAIN_X265, pan, probed, write

SIZE = (64, 48)


def stylized(stylizer, style, clip: Path, target: Path, **video):
    return stylize_clip(stylizer, clip, target, style, StylizeOptions(), VideoOptions(**video))


def sound_alone(path: Path) -> None:
    with av.open(str(path), "w") as out:
        sound = out.add_stream("aac", 48000)
        tone = av.AudioFrame.from_ndarray(np.zeros((2, 960), np.float32), "fltp", "stereo")
        tone.sample_rate, tone.pts = 48000, 0
        out.mux(sound.encode(tone))
        out.mux(sound.encode())


def no_frames(path: Path) -> None:
    with av.open(str(path), "w", format="matroska") as out:
        stream = out.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        out.start_encoding()


def without_end(path: Path) -> None:
    """An MP4's index lies at its end."""
    path.write_bytes(write(path, pan(8, size=SIZE)).read_bytes()[:-400])


def undecodable(path: Path) -> None:
    """Packets that hold anything but pictures."""
    with av.open(str(path), "w", format="matroska") as out:
        stream = out.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        out.start_encoding()
        for number in range(3):
            packet = av.Packet(b"\x80no picture" * 9)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 25)
            out.mux(packet)


NO_CLIPS = {
    "empty": (lambda path: path.write_bytes(b""), "is no clip that can be read"),
    "text": (lambda path: path.write_text("Dear all,\n" * 500), "is no clip that can be read"),
    "noise": (lambda path: path.write_bytes(np.random.default_rng(1).bytes(5000)), "is no clip that can be read"),
    "without-end": (without_end, "is no clip that can be read"),
    "sound": (sound_alone, "has no video stream"),
    "no-frames": (no_frames, ": "),
    "undecodable": (undecodable, "has no frame that can be decoded"),
    "folder": (Path.mkdir, "is a folder, not a clip"),
}


@pytest.mark.parametrize("name", NO_CLIPS)
def test_what_is_no_clip_ends_in_one_line_and_leaves_nothing(stylizer, style, tmp_path, name):
    clip = tmp_path / f"{name}.mp4"
    make, says = NO_CLIPS[name]
    make(clip)
    with pytest.raises(UsageError) as told:
        stylized(stylizer, style, clip, tmp_path / "out.mp4")
    assert str(told.value).startswith(f"{clip}: ")
    assert says in str(told.value)
    assert "\n" not in str(told.value)
    assert os.listdir(tmp_path) == [clip.name]


def test_a_clip_that_is_not_there_is_said(stylizer, style, tmp_path):
    with pytest.raises(NotFoundError, match="no such clip"):
        stylized(stylizer, style, tmp_path / "nowhere.mp4", tmp_path / "out.mp4")


@pytest.mark.parametrize(("transfer", "called"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_refused(tmp_path, transfer, called):
    clip = write(
        tmp_path / "hdr.mkv",
        pan(2, size=SIZE),
        codec="libx265",
        pixels="yuv420p10le",
        tags=(1, 9, 9, transfer),
        **PLAIN_X265,
    )
    with pytest.raises(UsageError, match=rf"is HDR \({called}\)"):
        open_clip(clip)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.6, 0.95])
@pytest.mark.parametrize(("name", "codec"), [("cut.mkv", "libx264"), ("cut.webm", "libvpx-vp9"), ("cut.gif", "gif")])
def test_a_truncated_clip_gives_the_frames_that_there_are(stylizer, style, tmp_path, name, codec, share):
    pixels = "rgb8" if codec == "gif" else "yuv420p"
    clip = write(tmp_path / name, pan(30, size=SIZE), codec=codec, pixels=pixels, bf="0")
    whole = probed(clip)["frames"]
    clip.write_bytes(clip.read_bytes()[: int(clip.stat().st_size * share)])
    target = tmp_path / ("out.mkv" if name == "cut.gif" else f"out{clip.suffix}")
    plan, _ = stylized(stylizer, style, clip, target)
    assert 0 < plan.frames < 30
    assert probed(target)["frames"] == whole[: plan.frames]


@pytest.mark.slow
def test_a_truncated_clip_with_its_index_at_the_front_gives_the_frames_that_there_are(stylizer, style, tmp_path):
    whole = write(tmp_path / "whole.mp4", pan(30, size=SIZE), file={"movflags": "faststart"}, bf="0")
    clip = tmp_path / "cut.mp4"
    clip.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.7)])
    plan, _ = stylized(stylizer, style, clip, tmp_path / "out.mp4")
    made = probed(tmp_path / "out.mp4")
    assert 0 < plan.frames < 30
    assert made["frames"] == probed(whole)["frames"][: plan.frames]
    assert made["duration"] == plan.frames * 40_000


@pytest.mark.slow
def test_damage_in_the_middle_costs_the_damaged_frames_alone(stylizer, style, tmp_path):
    clip = write(tmp_path / "clip.ts", pan(30, size=SIZE), codec="mpeg2video", g="5", bf="0")
    content = bytearray(clip.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300] = np.random.default_rng(2).bytes(300)
    clip.write_bytes(content)
    plan, _ = stylized(stylizer, style, clip, tmp_path / "out.mkv", codec="h264")
    assert 20 < plan.frames <= 30
    assert len(probed(tmp_path / "out.mkv")["frames"]) == plan.frames


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (63, 47), (8, 200)])
def test_odd_sizes_are_kept(stylizer, style, tmp_path, size):
    clip = write(tmp_path / "odd.mkv", pan(3, size=size), codec="ffv1", pixels="bgr0")
    for target in ("odd.mp4", "odd2.mkv", "odd.webm"):
        plan, notes = stylized(stylizer, style, clip, tmp_path / target)
        assert probed(tmp_path / target)["size"] == size
        assert plan.frames == 3
        odd = size[0] % 2 or size[1] % 2
        assert any("odd size" in note for note in notes) == bool(odd and target == "odd.mp4")


def test_interlaced_clips_are_said_to_be(stylizer, style, tmp_path):
    clip = write(tmp_path / "tape.mpg", pan(6, size=SIZE), codec="mpeg2video", interlaced=True)
    _, notes = stylized(stylizer, style, clip, tmp_path / "out.mkv")
    assert "interlaced: its fields stay lines of whole frames" in notes


@pytest.mark.slow
@pytest.mark.parametrize(("name", "codec"), [("raw.h264", "libx264"), ("raw.mjpeg", "mjpeg"), ("old.avi", "mpeg4")])
def test_frames_without_time_stamps_are_shown_one_after_the_other(stylizer, style, tmp_path, name, codec):
    clip = write(
        tmp_path / name, pan(6, size=SIZE), codec=codec, pixels="yuvj420p" if codec == "mjpeg" else "yuv420p", bf="0"
    )
    plan, _ = stylized(stylizer, style, clip, tmp_path / "out.mp4")
    times = [time - probed(tmp_path / "out.mp4")["frames"][0] for time in probed(tmp_path / "out.mp4")["frames"]]
    assert plan.frames == 6
    assert times == [Fraction(number, 25) for number in range(6)]


@pytest.mark.slow
def test_a_clip_that_begins_late_stays_in_step_with_its_sound(stylizer, style, tmp_path):
    clip = write(tmp_path / "broadcast.ts", pan(10, size=SIZE), codec="mpeg2video", audio="mp2", bf="0")
    stylized(stylizer, style, clip, tmp_path / "out.mkv", codec="h264")
    apart = []
    for path in (clip, tmp_path / "out.mkv"):
        found = probed(path)
        apart.append(found["frames"][0] - found["streams"][1]["packets"][0][0])
    assert abs(apart[0] - apart[1]) <= Fraction(1, 1000)


@pytest.mark.slow
def test_a_size_that_changes_midway_becomes_the_first(stylizer, style, tmp_path):
    first = write(tmp_path / "a.ts", pan(6, size=SIZE), codec="mpeg2video")
    other = write(tmp_path / "b.ts", pan(6, size=(48, 64)), codec="mpeg2video")
    clip = tmp_path / "both.ts"
    clip.write_bytes(first.read_bytes() + other.read_bytes())
    plan, _ = stylized(stylizer, style, clip, tmp_path / "out.mkv", codec="h264")
    made = probed(tmp_path / "out.mkv")
    assert made["size"] == SIZE
    assert len(made["frames"]) == plan.frames >= 11
    assert made["frames"] == sorted(set(made["frames"]))


@pytest.mark.slow
@pytest.mark.parametrize("pixels", ["gray", "gray16le", "yuv444p", "yuv411p", "gbrp10le", "yuv420p12le"])
def test_every_way_to_hold_a_pixel_is_read(stylizer, style, tmp_path, pixels):
    clip = write(tmp_path / "clip.mkv", pan(2, size=SIZE), codec="ffv1", pixels=pixels)
    for target in ("out.mp4", "out.mkv"):
        assert stylized(stylizer, style, clip, tmp_path / target)[0].frames == 2
        assert ("10" in probed(tmp_path / target)["pixels"]) or not open_clip(clip).deep or target == "out.mkv"


def test_a_photo_is_a_clip_of_one_frame(stylizer, style, tmp_path):
    (tmp_path / "photo.mp4").write_bytes(jpeg(1))
    assert stylized(stylizer, style, tmp_path / "photo.mp4", tmp_path / "out.mp4")[0].frames == 1


@pytest.mark.slow
def test_any_bytes_end_in_a_result_or_in_one_line(stylizer, style, tmp_path):
    whole = write(tmp_path / "whole.mp4", pan(6, size=SIZE), audio="aac").read_bytes()
    random = np.random.default_rng(3)
    for turn in range(40):
        content = bytearray(whole)
        for at in random.integers(0, len(content), 1 + turn // 2):
            content[at] = random.integers(0, 256)
        clip = tmp_path / "clip.mp4"
        clip.write_bytes(content)
        target = tmp_path / f"{turn}.mkv"
        said = None
        try:
            plan, _ = stylized(stylizer, style, clip, target)
        except PcakdError as error:
            said = str(error)
        assert target.exists() == (said is None)
        assert "\n" not in said if said else plan.frames > 0
