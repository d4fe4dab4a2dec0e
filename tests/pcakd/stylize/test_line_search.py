import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcakd.stylize.line_search import best_step, cubic_roots, line_search_matrix, quartic
from pcakd.stylize.transforms import Statistics, transform_map

CHANNELS = st.integers(1, 7)
SEEDS = st.integers(0, 2**31)
SCALES = st.sampled_from([1e-3, 1.0, 1e3])
NUMBERS = st.integers(-10_000, 10_000).map(lambda i: i / 100)


def covariance(channels: int, seed: int, scale: float = 1.0, positions: int | None = None) -> torch.Tensor:
    """A covariance; singular where it is of fewer positions than channels."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(channels, positions or 3 * channels, generator=generator, dtype=torch.float64) * scale
    return x @ x.T / x.shape[1]


def loss_along(eta: np.ndarray, content: torch.Tensor, style: torch.Tensor, weight: float) -> np.ndarray:
    """Style loss and content term after a step of each size, from their definitions."""
    difference, eye = content - style, torch.eye(len(content), dtype=torch.float64)
    sizes = torch.from_numpy(eta)
    steps = eye - sizes[:, None, None] * difference
    style_losses = (steps @ content @ steps.mT - style).square().sum((1, 2))
    moved = sizes**2 * (difference @ content @ difference).trace() * content.trace()
    return (style_losses + weight * moved).numpy()


@given(channels=CHANNELS, seed=SEEDS, weight=st.sampled_from([0.0, 0.3, 2.0]), positions=st.sampled_from([2, None]))
@settings(max_examples=60, deadline=None)
def test_the_step_is_the_one_that_a_numeric_line_search_finds(channels, seed, weight, positions):
    content, style = covariance(channels, seed, positions=positions), covariance(channels, seed + 1)
    eta = best_step(quartic(content, content - style, weight))
    # Beyond this the quartic's leading term has made the loss larger than it was.
    reach = 4 / max(float(torch.linalg.matrix_norm(content - style, 2)), 1e-9)
    tried = np.concatenate([np.linspace(0, reach, 2001), eta * np.linspace(0.9, 1.1, 201)])
    losses = loss_along(tried, content, style, weight)
    assert loss_along(np.array([eta]), content, style, weight)[0] <= losses.min() * (1 + 1e-9) + 1e-12


@given(a=NUMBERS, b=NUMBERS, c=NUMBERS, d=NUMBERS)
@settings(max_examples=300, deadline=None)
def test_the_cubics_roots_are_numpys_real_ones(a, b, c, d):
    found = sorted(cubic_roots(a, b, c, d))
    for root in found:
        size = abs(a * root**3) + abs(b * root**2) + abs(c * root) + abs(d)
        assert abs(((a * root + b) * root + c) * root + d) <= 1e-7 * size + 1e-12
    expected = np.roots([a, b, c, d])
    for i, root in enumerate(expected):
        alone = min(abs(np.delete(expected, i) - root), default=1.0)
        if abs(root.imag) < 1e-12 and alone > 1e-2 * max(1, abs(root)):  # rounding makes double roots complex, or two
            assert min(abs(root.real - other) for other in found) <= 1e-5 * max(1, abs(root))


@pytest.mark.parametrize(
    ("coefficients", "roots"),
    [
        ((1, -6, 11, -6), [1, 2, 3]),
        ((2, 0, 0, 0), [0]),
        ((0, 1, -3, 2), [1, 2]),
        ((0, 0, 4, -8), [2]),
        ((0, 0, 0, 5), []),
    ],
)
def test_cubics_with_known_roots(coefficients, roots):
    assert sorted(cubic_roots(*coefficients)) == pytest.approx(roots, abs=1e-12)


@given(channels=CHANNELS, seed=SEEDS, scale=SCALES, steps=st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_every_further_step_brings_the_covariance_nearer_to_the_style(channels, seed, scale, steps):
    content, style = covariance(channels, seed, scale), covariance(channels, seed + 1, scale)
    distances = []
    for count in (steps - 1, steps):
        matrix = line_search_matrix(content, style, steps=count)
        distances.append(float((matrix @ content @ matrix.T - style).norm()))
    assert distances[1] <= distances[0] * (1 + 1e-9) + 1e-12 * float(style.norm())


@given(channels=CHANNELS, seed=SEEDS, scale=SCALES)
@settings(max_examples=40, deadline=None)
def test_many_steps_end_at_the_styles_covariance_within_the_contents_span(channels, seed, scale):
    content = covariance(channels, seed, scale) + scale**2 * torch.eye(channels)
    style = content + scale**2 * 0.3 * covariance(channels, seed + 1)
    matrix = line_search_matrix(content, style, steps=400)
    assert float((matrix @ content @ matrix.T - style).norm()) < 0.02 * float((content - style).norm())


@given(channels=CHANNELS, seed=SEEDS, scale=SCALES)
@settings(max_examples=40, deadline=None)
def test_a_heavier_content_term_moves_features_less_and_leaves_more_of_the_style_loss(channels, seed, scale):
    content, style = covariance(channels, seed, scale), covariance(channels, seed + 1, scale)
    moved, left = [], []
    for weight in (0.0, 0.3, 1.0, 5.0, math.inf):
        matrix = line_search_matrix(content, style, weight=weight, steps=1)
        moved.append(float((matrix - torch.eye(channels)).norm()))
        left.append(float((matrix @ content @ matrix.T - style).norm()))
    assert moved == sorted(moved, reverse=True)
    assert moved[-1] == 0
    assert all(a <= b * (1 + 1e-9) + 1e-12 * scale**2 for a, b in itertools.pairwise(left))


@given(channels=CHANNELS, seed=SEEDS)
@settings(max_examples=20, deadline=None)
def test_balance_takes_the_mean_along_and_its_lower_end_is_the_identity(channels, seed):
    content, style = (
        Statistics(torch.full((channels,), float(i), dtype=torch.float64), covariance(channels, seed + i))
        for i in (0, 1)
    )
    for balance in (0.0, 0.4, 1.0):
        affine = transform_map("lsft", content, style, balance=balance)
        mean = affine.matrix @ content.mean + affine.bias
        torch.testing.assert_close(mean, torch.lerp(content.mean, style.mean, balance))
    held = transform_map("lsft", content, style, balance=0.0)
    assert torch.equal(held.matrix, torch.eye(channels, dtype=torch.float64))
    assert not held.bias.any()


def test_equal_statistics_a_constant_content_and_no_content_term_are_no_trouble():
    same = covariance(4, 0)
    assert torch.equal(line_search_matrix(same, same), torch.eye(4, dtype=torch.float64))
    flat = torch.zeros(4, 4, dtype=torch.float64)
    assert torch.isfinite(line_search_matrix(flat, same)).all()
    assert torch.isfinite(line_search_matrix(same, flat)).all()
    assert torch.equal(line_search_matrix(same, flat, weight=math.inf), torch.eye(4, dtype=torch.float64))
