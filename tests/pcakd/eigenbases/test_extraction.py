import numpy as np
import pytest
import torch

from pcakd.eigenbases.extraction import CONSTANT, TOO_SMALL, Extraction, accumulate, crop_of
from pcakd.errors import UsageError
from pcakd.student.network import Student, StudentSpec
from pcakd.teacher.student import StudentTeacher, student_info


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    student = Student(StudentSpec(channels=(4, 5, 6, 7)))
    with torch.no_grad():
        for name, parameter in student.named_parameters():
            if name.endswith("bias"):
                parameter.fill_(1.0)  # else most channels of a random network are dead
    return StudentTeacher(student, student_info(student, "small", "MIT"))


@pytest.fixture(scope="module")
def photos():
    random = np.random.default_rng(1)
    return [(f"photo{i}", random.integers(0, 256, (50 + i, 64, 3), dtype=np.uint8)) for i in range(6)]


def test_a_crop_depends_on_the_key_alone_and_stays_inside():
    crops = [crop_of((300, 400), f"photo{i}", crop=256, multiple=16) for i in range(200)]
    assert crops[7] == crop_of((300, 400), "photo7", crop=256, multiple=16)
    assert all(c.height == c.width == 256 and c.top + 256 <= 300 and c.left + 256 <= 400 for c in crops)
    assert len({c.top for c in crops}) > 30  # all parts of photos are seen
    assert len({c.left for c in crops}) > 80


def test_a_photo_smaller_than_the_crop_is_used_as_far_as_the_teachers_grid_goes():
    crop = crop_of((100, 300), "x", crop=256, multiple=16)
    assert (crop.height, crop.width) == (96, 256)
    assert crop_of((100, 300), "x", crop=0, multiple=16).width == 288
    assert crop_of((31, 300), "x", crop=256, multiple=16) is None


def test_constant_and_tiny_photos_are_left_out_and_counted(teacher, photos):
    odd = [("grey", np.full((64, 64, 3), 90, np.uint8)), ("dot", np.zeros((8, 8, 3), np.uint8))]
    moments, left_out = accumulate([*odd, *photos], teacher, Extraction(crop=32))
    assert moments.photos == len(photos)
    assert left_out == {CONSTANT: 1, TOO_SMALL: 1}


@pytest.mark.parametrize("batch", [2, 5])
def test_batched_features_give_the_same_moments_up_to_float32(teacher, photos, batch):
    one, _ = accumulate(photos, teacher, Extraction(crop=32))
    many, _ = accumulate(photos, teacher, Extraction(crop=32, batch=batch))
    assert one.photos == many.photos
    for level in range(4):
        torch.testing.assert_close(one.covariance(level), many.covariance(level), rtol=1e-5, atol=1e-8)


@pytest.mark.filterwarnings("ignore::pcakd.eigenbases.pca.RankWarning")
@pytest.mark.parametrize("fields", [{"crop": 31}, {"crop": -1}, {"crop": 5000}, {"batch": 0}])
def test_an_extraction_that_makes_no_sense_is_refused(fields):
    with pytest.raises(UsageError, match=next(iter(fields))):
        Extraction(**fields)
