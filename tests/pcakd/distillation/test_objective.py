import torch

from pcakd.distillation.grading import random_grade


def test_grades_stay_in_range_differ_by_photo_and_repeat_with_the_seed():
    photos = torch.rand(1, 3, 16, 16).repeat(3, 1, 1, 1)
    graded = random_grade(photos, torch.Generator().manual_seed(1))
    assert graded.min() >= 0
    assert graded.max() <= 1
    assert not torch.allclose(graded[0], graded[1])
    torch.testing.assert_close(graded, random_grade(photos, torch.Generator().manual_seed(1)))
