import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcakd.errors import UsageError
from pcakd.stylize.transforms import Statistics, monge_kantorovich, symmetric_power, transform_map

SIZES = st.integers(1, 9)
SEEDS = st.integers(0, 2**31)


def full_rank(channels: int, seed: int) -> Statistics:
    """Statistics whose covariance has eigenvalues of 0.5 and above."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    return Statistics(
        torch.randn(channels, generator=generator, dtype=torch.float64),
        a @ a.T + 0.5 * torch.eye(channels, dtype=torch.float64),
    )


def mapped(affine, statistics: Statistics) -> Statistics:
    """Statistics after an affine map."""
    return Statistics(
        affine.matrix @ statistics.mean + affine.bias, affine.matrix @ statistics.covariance @ affine.matrix.T
    )


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e9])
@pytest.mark.parametrize("exponent", [-1.0, -0.5, 0.0, 0.5])
def test_powers_are_those_of_the_eigenvalues_at_every_scale_and_negative_ones_leave_out_what_does_not_vary(
    scale, exponent
):
    random = torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    vectors, values = torch.linalg.qr(random)[0], scale * torch.tensor([0, 0, 1, 2, 3], dtype=torch.float64)
    powers = values**exponent if exponent >= 0 else torch.tensor([0, 0, *(value**exponent for value in values[2:])])
    expected = (vectors * powers) @ vectors.T
    found = symmetric_power((vectors * values) @ vectors.T, exponent)
    torch.testing.assert_close(found, expected, atol=float(1e-6 * powers.max()), rtol=0)


@given(channels=SIZES, seed=SEEDS)
@settings(max_examples=20, deadline=None)
def test_optimal_transport_gives_the_styles_covariance(channels, seed):
    content, style = full_rank(channels, seed).covariance, full_rank(channels, seed + 1).covariance
    matrix = monge_kantorovich(content, style)
    torch.testing.assert_close(matrix @ content @ matrix, style, atol=1e-6, rtol=1e-6)


def test_a_line_search_goes_all_the_way_unless_told():
    content, style = full_rank(4, 0), full_rank(4, 1)
    found, wanted = transform_map("lsft", content, style), transform_map("lsft", content, style, balance=1.0)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("transform", ["zca", "ot"])
@given(channels=SIZES, seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_without_regularisation_zca_and_ot_give_the_styles_mean_and_covariance(transform, channels, seed):
    content, style = full_rank(channels, seed), full_rank(channels, seed + 1)
    result = mapped(transform_map(transform, content, style, regularisation=0.0), content)
    torch.testing.assert_close(result.mean, style.mean, atol=1e-7, rtol=1e-7)
    torch.testing.assert_close(result.covariance, style.covariance, atol=1e-6, rtol=1e-6)


@given(channels=SIZES, seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_adain_gives_the_styles_mean_and_variances(channels, seed):
    content, style = full_rank(channels, seed), full_rank(channels, seed + 1)
    result = mapped(transform_map("adain", content, style), content)
    torch.testing.assert_close(result.mean, style.mean, atol=1e-7, rtol=1e-7)
    torch.testing.assert_close(result.covariance.diagonal(), style.covariance.diagonal(), atol=1e-6, rtol=1e-6)


@given(channels=SIZES, seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_regularised_zca_is_its_closed_form(channels, seed):
    content, style = full_rank(channels, seed), full_rank(channels, seed + 1)
    identity = torch.eye(channels, dtype=torch.float64)
    result = mapped(transform_map("zca", content, style), content)
    # T·Σc·Tᵀ with Σc = (Σc + I) - I
    whiten = symmetric_power(content.covariance + identity, -0.5)
    colour = symmetric_power(style.covariance + identity, 0.5)
    expected = style.covariance + identity - colour @ whiten @ whiten @ colour
    torch.testing.assert_close(result.covariance, expected, atol=1e-6, rtol=1e-6)


@given(channels=SIZES, seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_regularised_ot_is_its_closed_form(channels, seed):
    content, style = full_rank(channels, seed), full_rank(channels, seed + 1)
    identity = torch.eye(channels, dtype=torch.float64)
    matrix = transform_map("ot", content, style).matrix
    root = symmetric_power(content.covariance + identity, 0.5)
    squared = root @ matrix @ root
    torch.testing.assert_close(squared @ squared, root @ style.covariance @ root + identity, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize(("transform", "regularisation"), [("zca", 1.0), ("zca", 0.0), ("ot", 0.0), ("adain", 1.0)])
@given(channels=SIZES, seed=SEEDS)
@settings(max_examples=20, deadline=None)
def test_a_style_equal_to_the_content_changes_nothing(transform, regularisation, channels, seed):
    content = full_rank(channels, seed)
    affine = transform_map(transform, content, content, regularisation=regularisation)
    torch.testing.assert_close(affine.matrix, torch.eye(channels, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(affine.bias, torch.zeros(channels, dtype=torch.float64), atol=1e-6, rtol=0)


@pytest.mark.parametrize("regularisation", [0.0, 1.0])
@given(channels=SIZES, seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_the_ot_map_is_symmetric_and_positive_definite(regularisation, channels, seed):
    matrix = transform_map(
        "ot", full_rank(channels, seed), full_rank(channels, seed + 1), regularisation=regularisation
    ).matrix
    torch.testing.assert_close(matrix, matrix.T, atol=1e-8, rtol=1e-8)
    assert torch.linalg.eigvalsh(matrix).min() > 0


@pytest.mark.parametrize("transform", ["zca", "ot", "adain"])
@pytest.mark.parametrize("regularisation", [0.0, 1.0])
def test_features_without_any_variance_give_finite_maps(transform, regularisation):
    flat = Statistics(torch.ones(5, dtype=torch.float64), torch.zeros(5, 5, dtype=torch.float64))
    other = full_rank(5, 0)
    for content, style in [(flat, other), (other, flat), (flat, flat)]:
        affine = transform_map(transform, content, style, regularisation=regularisation)
        assert torch.isfinite(affine.matrix).all()
        assert torch.isfinite(affine.bias).all()


@given(seed=SEEDS, strength=st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_blending_is_linear_between_no_change_and_the_full_map(seed, strength):
    affine = transform_map("zca", full_rank(3, seed), full_rank(3, seed + 1))
    x = torch.randn(1, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    blended = affine.blend(strength).apply(x)
    torch.testing.assert_close(blended, torch.lerp(x, affine.apply(x), strength), atol=1e-9, rtol=1e-9)


def test_an_unknown_transform_is_refused_with_the_choices():
    with pytest.raises(UsageError, match=r"^transform is 'wct'.*zca, ot, adain"):
        transform_map("wct", full_rank(2, 0), full_rank(2, 1))  # type: ignore[arg-type]
