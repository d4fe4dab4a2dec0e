"""Where a shot ends."""

from itertools import chain

import cv2
import numpy as np

from pcakd.video.options import VideoOptions
from pcakd.video.shots import ShotFinder
from tests.pcakd.video.made import pan


def begins(pictures) -> list[int]:
    """Numbers of the frames that begin a shot, beside the first."""
    finder, found, last = ShotFinder(VideoOptions().cut), [], 0
    for number, picture in enumerate(pictures):
        last = number
        if (back := finder.push(cv2.resize(picture, (32, 24), interpolation=cv2.INTER_AREA))) is not None:
            found.append(number - back)
    return found + ([] if (back := finder.rest()) is None else [last - back])


def test_a_cut_is_found_at_its_frame():
    assert begins(chain(pan(20), pan(20, name="flower.jpg"))) == [20]


def test_a_cut_shortly_before_the_end_is_found():
    assert begins(chain(pan(20), pan(2, name="flower.jpg"))) == [20]


def test_a_pan_changing_light_and_a_flash_are_no_cuts():
    fast = list(pan(40, step=8))
    light = [(picture * (1 - number / 60)).astype(np.uint8) for number, picture in enumerate(pan(40))]
    flash = list(pan(40))
    flash[20] = np.full_like(flash[20], 255)
    assert [begins(clip) for clip in (fast, light, flash)] == [[], [], []]
