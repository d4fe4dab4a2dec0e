import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcakd.distillation.differentiable import SymmetricRoot, match_statistics
from pcakd.distillation.grading import random_grade
from pcakd.stylize.transforms import transform_map
from tests.reference.statistics import feature_statistics


def test_matching_is_the_product_s_own_whitening_and_colouring():
    torch.manual_seed(0)
    x, style = torch.randn(1, 5, 12, 9) * 3, torch.randn(1, 5, 8, 8) @ torch.randn(8, 8) + 2
    wanted = transform_map("zca", feature_statistics(x), feature_statistics(style)).apply(x)
    torch.testing.assert_close(match_statistics(x, style), wanted, atol=1e-4, rtol=1e-4)


@given(seed=st.integers(0, 10_000), size=st.integers(1, 6), equal=st.booleans())
@settings(max_examples=25, deadline=None)
def test_the_root_s_gradient_is_that_of_finite_differences_even_for_equal_eigenvalues(seed, size, equal):
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(size, size, generator=generator, dtype=torch.float64)
    matrix = torch.eye(size, dtype=torch.float64) * 2 if equal else a @ a.T + 0.5 * torch.eye(size, dtype=torch.float64)
    matrix.requires_grad_()
    symmetric = lambda m: SymmetricRoot.apply((m + m.T) / 2)  # noqa: E731
    assert torch.autograd.gradcheck(symmetric, (matrix,), atol=1e-5)


def test_grades_stay_in_range_differ_by_photo_and_repeat_with_the_seed():
    photos = torch.rand(1, 3, 16, 16).repeat(3, 1, 1, 1)
    graded = random_grade(photos, torch.Generator().manual_seed(1))
    assert graded.min() >= 0
    assert graded.max() <= 1
    assert not torch.allclose(graded[0], graded[1])
    torch.testing.assert_close(graded, random_grade(photos, torch.Generator().manual_seed(1)))
