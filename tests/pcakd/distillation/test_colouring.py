"""Whitening and colouring in training: what the product does, by eigenvectors and by products alike."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcakd.distillation.colouring import (
    InverseRoot,
    colourings,
    match_statistics,
    product_lyapunov,
    product_roots,
)
from pcakd.stylize.transforms import transform_map
from tests.reference.statistics import feature_statistics


def test_matching_is_the_product_s_own_whitening_and_colouring():
    torch.manual_seed(0)
    x, style = torch.randn(1, 5, 12, 9) * 3, torch.randn(1, 5, 8, 8) @ torch.randn(8, 8) + 2
    wanted = transform_map("zca", feature_statistics(x), feature_statistics(style)).apply(x)
    torch.testing.assert_close(match_statistics(x, colourings([style])[0]), wanted, atol=1e-4, rtol=1e-4)


@given(seed=st.integers(0, 10_000), size=st.integers(1, 6), equal=st.booleans())
@settings(max_examples=25, deadline=None)
def test_the_root_s_gradient_is_that_of_finite_differences_even_for_equal_eigenvalues(seed, size, equal):
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(size, size, generator=generator, dtype=torch.float64)
    matrix = torch.eye(size, dtype=torch.float64) * 2 if equal else a @ a.T + 0.5 * torch.eye(size, dtype=torch.float64)
    matrix.requires_grad_()
    symmetric = lambda m: InverseRoot.apply((m + m.T) / 2)  # noqa: E731
    assert torch.autograd.gradcheck(symmetric, (matrix,), atol=1e-5)


def covariances(*spreads: float) -> torch.Tensor:
    """Covariances of 12 channels whose standard deviations lie that far apart, with the ridge that training adds."""
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(len(spreads), 12, 64, generator=generator, dtype=torch.float64)
    scales = torch.stack([torch.logspace(0, math.log10(spread), 12, dtype=torch.float64) for spread in spreads])
    turn = torch.linalg.qr(torch.randn(12, 12, generator=generator, dtype=torch.float64))[0]
    samples = turn @ (samples * scales[:, :, None])
    return samples @ samples.mT / 64 + torch.eye(12, dtype=torch.float64)


def test_roots_by_products_are_those_by_eigenvectors():
    matrices = covariances(1, 30, 1000)
    matrices[0] = torch.eye(12)
    root, inverse = product_roots(matrices)
    torch.testing.assert_close(root @ root, matrices, rtol=1e-9, atol=1e-6)
    torch.testing.assert_close(inverse, InverseRoot.apply(matrices), rtol=1e-9, atol=1e-9)
    assert product_roots(torch.full((1, 3, 3), torch.nan))[0].isnan().all()


def test_the_gradient_by_products_is_that_by_eigenvectors():
    matrices = covariances(1, 30, 1000).requires_grad_()
    gradient = torch.randn(matrices.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradient = (gradient + gradient.mT) / 2 * torch.tensor([1e-6, 1.0, 1e6])[:, None, None]
    inverse = InverseRoot.apply(matrices)
    wanted = torch.autograd.grad(inverse, matrices, gradient)[0]
    found = product_lyapunov(matrices.detach(), -(inverse @ gradient @ inverse).detach())
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6 * float(theirs.abs().max()))
