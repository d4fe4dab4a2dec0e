"""What a clip's result keeps, in every container and codec that is written: a file before and after, read by PyAV."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from skimage.data import data_dir

from pcakd.errors import UsageError
from pcakd.stylize.clips.run import stylize_clip
from pcakd.stylize.options import StylizeOptions
from pcakd.video.options import VideoOptions
from tests.pcakd.video.made import PLAIN_X265, pan, probed, write

UNEVEN = [0, 40, 80, 200, 210, 500, 540, 580, 900, 1000]
"""Time stamps of a variable rate, in 1/1000 s."""
SIZE = (96, 64)
BT709, BT470BG, SMPTE170M = 1, 5, 6
LIMITED, FULL = 1, 2


@dataclass(frozen=True)
class Kind:
    """A file that has all that its container has room for."""

    name: str
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def beside(self) -> list[str]:
        """Types of the streams that lie beside the pictures."""
        lying = {"audio": "audio", "subtitles": "subtitle", "attachment": "attachment"}
        return [type for name, type in lying.items() if name in self.made]


KINDS = [
    Kind(
        "phone.mp4",
        {
            "codec": "libx264",
            "audio": "aac",
            "subtitles": ("Hej", "med dig"),
            "rotation": 90,
            "tags": (LIMITED, BT709, BT709, BT709),
            "metadata": {"title": "Torvet"},
        },
    ),
    Kind(
        "camera.mov",
        {
            "codec": "libx265",
            "pixels": "yuv420p10le",
            "audio": "pcm_s16le",
            "subtitles": ("Hej", "med dig"),
            "rotation": 180,
            "tags": (FULL, SMPTE170M, SMPTE170M, SMPTE170M),
            **PLAIN_X265,
        },
    ),
    Kind(
        "page.webm",
        {
            "codec": "libvpx-vp9",
            "audio": "libopus",
            "subtitles": ("Hej", "med dig"),
            "tags": (LIMITED, BT470BG, BT470BG, SMPTE170M),
        },
    ),
    Kind(
        "archive.mkv",
        {
            "codec": "libsvtav1",
            "pixels": "yuv420p10le",
            "audio": "flac",
            "subtitles": ("Hej", "med dig"),
            "tags": (LIMITED, BT709, BT709, BT709),
            "metadata": {"title": "Torvet"},
            "chapters": ("Morgen", "Aften"),
            "attachment": b"a font",
        },
    ),
    Kind("edit.mov", {"codec": "prores_ks", "pixels": "yuv422p10le", "audio": "pcm_s16le"}),
    Kind("lossless.mkv", {"codec": "ffv1", "pixels": "yuv422p10le", "audio": "libmp3lame"}),
]


def result_of(stylizer, style, clip: Path, target: Path, **video) -> list[str]:
    """Stylize; the notes."""
    return stylize_clip(stylizer, clip, target, style, StylizeOptions(), VideoOptions(**video))[1]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_streams_times_tags_depth_and_all_that_is_beside_the_pictures_are_the_clips(stylizer, style, tmp_path, kind):
    clip = write(tmp_path / kind.name, pan(10, size=SIZE), times=UNEVEN, aspect=Fraction(4, 3), **kind.made)
    target = tmp_path / f"out{clip.suffix}"
    assert result_of(stylizer, style, clip, target) == []
    before, after = probed(clip), probed(target)
    assert after["frames"] == [Fraction(time, 1000) for time in UNEVEN] == before["frames"]
    assert after == before
    assert [one["type"] for one in after["streams"][1:]] == kind.beside


def test_a_gif_is_written_as_mp4_with_its_times(stylizer, style, tmp_path):
    clip = Path(data_dir) / "no_time_for_that_tiny.gif"
    assert "odd size" in result_of(stylizer, style, clip, tmp_path / "out.mp4")[0]
    before, after = probed(clip), probed(tmp_path / "out.mp4")
    for one in ("frames", "size", "duration"):
        assert after[one] == before[one]
    assert after["streams"][0]["codec"] == "h264"


@pytest.mark.parametrize(("name", "codec"), [("out.mov", "same"), ("out.mkv", "h264"), ("out.mp4", "hevc")])
def test_another_container_or_codec_keeps_times_to_the_tick_and_sound_to_the_byte(
    stylizer, style, tmp_path, name, codec
):
    clip = write(tmp_path / "clip.mp4", pan(8, size=SIZE), times=UNEVEN[:8], audio="aac")
    result_of(stylizer, style, clip, tmp_path / name, codec=codec)
    before, after = probed(clip), probed(tmp_path / name)
    assert after["frames"] == before["frames"]
    assert after["pixels"] == before["pixels"]
    sound = [[content for _, _, content in of["streams"][1]["packets"]] for of in (before, after)]
    assert sound[0] == sound[1]
    starts = [[round(float(time), 3) for time, _, _ in of["streams"][1]["packets"]] for of in (before, after)]
    assert starts[0] == starts[1]


def test_transparency_is_kept_by_codecs_that_have_it_and_said_of_others(stylizer, style, tmp_path):
    clear = np.zeros((SIZE[1], SIZE[0], 1), np.uint8)
    clear[:, : SIZE[0] // 2] = 255
    pictures = [np.concatenate([picture, clear], 2) for picture in pan(3, size=SIZE)]
    clip = write(tmp_path / "title.mkv", pictures, codec="ffv1", pixels="bgra")
    assert result_of(stylizer, style, clip, tmp_path / "out.mkv") == []
    with av.open(str(tmp_path / "out.mkv")) as made:
        assert all(np.array_equal(one.to_ndarray(format="rgba")[..., 3:], clear) for one in made.decode(video=0))
    (said,) = result_of(stylizer, style, clip, tmp_path / "out.mp4")
    assert said == "transparency is left out: h264 is written without"
    prores = write(tmp_path / "title.mov", pictures, codec="prores_ks", pixels="yuva444p10le")
    assert result_of(stylizer, style, prores, tmp_path / "out.mov") == []
    assert probed(tmp_path / "out.mov")["pixels"] == probed(prores)["pixels"] == "yuva444p12le"


def test_what_the_file_has_no_room_for_is_named(stylizer, style, tmp_path):
    clip = write(tmp_path / "clip.mkv", pan(3, size=SIZE), audio="flac", subtitles=("Hej",))
    (said,) = result_of(stylizer, style, clip, tmp_path / "out.mp4")
    assert said == "a stream of subtitle (srt) is left out"
    with pytest.raises(UsageError, match=r"no room for the clip's audio \(flac\)"):
        result_of(stylizer, style, clip, tmp_path / "out.webm")
    assert not (tmp_path / "out.webm").exists()
