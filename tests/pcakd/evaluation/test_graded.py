import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcakd.errors import UsageError
from pcakd.evaluation.graded import AREAS, CROP, Grade, apart_squares, graded_pair, jittered

PHOTO = np.random.default_rng(0).integers(0, 256, (20, 50, 3), np.uint8)


def test_the_default_grade_changes_nothing():
    assert np.array_equal(Grade().apply(PHOTO), PHOTO)


@given(st.integers(0, 2**31))
def test_a_seed_gives_one_grade_and_every_grade_is_a_photo(seed):
    grade = Grade.random(seed)
    assert grade == Grade.random(seed)
    assert grade != Grade.random(seed + 1)
    graded = grade.apply(PHOTO)
    assert graded.dtype == np.uint8
    assert graded.shape == PHOTO.shape


def test_same_has_the_graded_photo_as_style_and_truth():
    pair = graded_pair(PHOTO, "same", name="noise", seed=1)
    assert pair.content is PHOTO
    assert np.array_equal(pair.style, pair.truth)
    assert not np.array_equal(pair.truth, PHOTO)


def test_across_has_the_left_part_as_content_and_the_graded_right_part_as_style():
    graded = Grade.random(1).apply(PHOTO)
    pair = graded_pair(PHOTO, "across", name="noise", seed=1)
    assert np.array_equal(pair.content, PHOTO[:, :30])
    assert np.array_equal(pair.style, graded[:, 20:])
    assert np.array_equal(pair.truth, graded[:, :30])


def test_apart_is_across_without_the_shared_middle():
    pair = graded_pair(PHOTO, "apart", name="noise", seed=1)
    assert pair.content.shape == pair.style.shape == pair.truth.shape == (20, 25, 3)
    assert np.array_equal(pair.content, PHOTO[:, :25])


@pytest.mark.parametrize(
    "change", [{"gains": (0.0, 1.0, 1.0)}, {"gamma": 0.0}, {"contrast": 2.0}, {"saturation": -1.0}]
)
def test_grades_that_cannot_be_are_refused(change):
    with pytest.raises(UsageError, match=next(iter(change))):
        Grade(**change)


def test_an_unknown_kind_is_refused_with_the_choices():
    with pytest.raises(UsageError, match="same, across, apart, self"):
        graded_pair(PHOTO, "other", name="noise", seed=1)  # type: ignore[arg-type]


@given(st.integers(0, 2**31), st.integers(30, 300), st.integers(30, 300))
def test_squares_of_self_do_not_overlap_and_lie_inside(seed, height, width):
    (y0, x0, a), (y1, x1, b) = apart_squares(height, width, np.random.default_rng(seed))
    covered = np.zeros((height, width), int)
    covered[y0 : y0 + a, x0 : x0 + a] += 1
    covered[y1 : y1 + b, x1 : x1 + b] += 1
    assert covered.max() == 1
    assert covered.sum() == a * a + b * b
    assert max(a * a, b * b) <= AREAS[1] * height * width


def test_self_has_a_jittered_crop_as_content_whose_truth_is_the_crop():
    pair = graded_pair(PHOTO, "self", name="noise", seed=3)
    assert pair.content.shape == pair.style.shape == pair.truth.shape == (CROP, CROP, 3)
    assert not np.array_equal(pair.content, pair.truth)
    again = graded_pair(PHOTO, "self", name="noise", seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(pair[1:], again[1:], strict=True))


@given(st.integers(0, 2**31))
def test_a_jitter_changes_a_photo_and_keeps_its_size(seed):
    changed = jittered(PHOTO, np.random.default_rng(seed))
    assert changed.shape == PHOTO.shape
    assert not np.array_equal(changed, PHOTO)


def test_a_single_pixel_has_no_two_crops():
    with pytest.raises(UsageError, match="one pixel"):
        graded_pair(PHOTO[:1, :1], "self", name="dot", seed=1)
