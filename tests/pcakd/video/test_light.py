"""Light that changes within a shot, told from what moves."""

from collections.abc import Iterable
from itertools import chain

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcakd.video.light import DARKEST, UNKNOWN, LightCourse, LightMeter, Lit, change_of_light
from tests.pcakd.video.made import pan

RATE = 25
LARGE = (320, 240)


def measured(pictures: Iterable[np.ndarray], *, noise: float = 1.5) -> list[Lit]:
    """What the frames of a clip tell, with noise of so many levels."""
    meter, random, found = LightMeter(), np.random.default_rng(0), []
    for number, picture in enumerate(pictures):
        seen = (picture + random.normal(0, noise, picture.shape)).clip(0, 255).astype(np.uint8)
        found.append(meter.push(cv2.resize(seen, (32, 24), interpolation=cv2.INTER_AREA), number / RATE))
    return [lit for lit in found if lit is not None]


def lit_by(pictures: Iterable[np.ndarray], lights: Iterable[np.ndarray | float]) -> Iterable[np.ndarray]:
    return ((picture * light).round().clip(0, 255) for picture, light in zip(pictures, lights, strict=False))


def change(course: LightCourse | None) -> np.ndarray:
    assert course is not None
    return course.gains[-1] / course.gains[0]


@settings(deadline=None, max_examples=25, derandomize=True)
@given(
    ends=st.tuples(*[st.floats(0.3, 0.75)] * 3),
    step=st.integers(0, 4),
    name=st.sampled_from(["china.jpg", "flower.jpg"]),
    rising=st.booleans(),
)
def test_light_that_changes_is_measured_channel_by_channel_while_the_camera_pans(ends, step, name, rising):
    lights = np.linspace(1, ends, 50)
    pictures = pan(50, name=name, step=step, size=LARGE)
    found = measured(lit_by(pictures, lights[::-1] if rising else lights))
    # The course is smoothed, and its last frame lies up to a tenth of a second before the end.
    wanted = lights[-3] / lights[2]
    assert change(LightCourse.of(found)) == pytest.approx(1 / wanted if rising else wanted, rel=0.12)


def test_a_camera_that_pans_into_the_dark_sees_no_change_of_light():
    photo = next(pan(1, size=(600, 240)))[:, ::-1]
    shade = np.linspace(1, 0.3, 600)[None, :, None]
    scene = (photo * shade).astype(np.uint8)
    pictures = [scene[:, 4 * number : 4 * number + 320] for number in range(60)]
    assert pictures[-1].mean() < 0.7 * pictures[0].mean()
    assert LightCourse.of(measured(pictures)) is None


def test_somebody_who_walks_by_is_no_change_of_light():
    pictures = [picture.copy() for picture in pan(50, step=0, size=LARGE)]
    for number, picture in enumerate(pictures):
        picture[:, 6 * number : 6 * number + 110] = (20, 15, 10)
    assert LightCourse.of(measured(pictures)) is None


def test_noise_a_flash_and_another_scene_are_none():
    steady = list(pan(40, step=0, size=LARGE))
    assert LightCourse.of(measured(steady, noise=6)) is None
    flash = [picture if number != 20 else picture // 2 + 128 for number, picture in enumerate(steady)]
    assert LightCourse.of(measured(flash)) is None
    assert LightCourse.of(measured(chain(steady[:20], pan(20, name="flower.jpg", step=0, size=LARGE)))) is None


def test_a_fade_from_black_is_light_that_rises_and_no_weaker_than_the_darkest():
    fade = np.concatenate([np.linspace(0, 1, 30), np.ones(30)])
    course = LightCourse.of(measured(lit_by(pan(60, step=1, size=LARGE), fade)))
    assert course is not None
    assert course.gains.min() >= DARKEST / 2.5
    assert course.gains[0].max() < 0.3
    assert course.at(2.3) == pytest.approx(np.ones(3), abs=0.05)
    assert course.at(0.6) == pytest.approx(np.full(3, 0.5), abs=0.1)
    assert np.array_equal(course.at(-1), course.gains[0])
    assert np.array_equal(course.at(9), course.gains[-1])


def test_slight_changes_are_none():
    assert LightCourse.of(measured(lit_by(pan(60, step=0, size=LARGE), np.linspace(1, 0.9, 60)))) is None


@pytest.mark.parametrize("shape", [(1, 1), (2, 32), (24, 1), (8, 8), (24, 32)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_of_pictures_that_show_nothing_none_is_told(shape, level):
    flat = np.full((*shape, 3), float(level))
    assert not np.nan_to_num(change_of_light(flat, flat)).any()
    assert not np.isinf(change_of_light(flat, flat / 2)).any()


def test_over_steps_of_which_nothing_is_known_light_goes_on_for_a_second_at_most():
    def told(unknown: range) -> LightCourse | None:
        steps = [UNKNOWN if number in unknown else np.full(3, -0.02) for number in range(60)]
        return LightCourse.of([Lit(n / 10, step) for n, step in enumerate(steps)])

    assert change(told(range(20, 28))) == pytest.approx(change(told(range(0))), rel=1e-6)
    assert change(told(range(20, 40))) == pytest.approx(np.exp(np.full(3, -0.02 * 39)), rel=0.01)


def test_times_that_do_not_grow_tell_nothing():
    same = [Lit(1.0, np.full(3, -0.1))] * 3
    assert LightCourse.of(same) is None
    assert LightCourse.of(same[:2]) is None
