"""A look in weaker light, or stronger."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcakd.stylize.look.look import IDENTITY, Look

LIGHT = st.floats(0.1, 1.5)


def curved(seed: int = 0) -> Look:
    """A look of one function of colour that bends with brightness."""
    random = torch.Generator().manual_seed(seed)
    grid = IDENTITY.grid.expand(1, 1, 12, 12).clone()
    bend = torch.linspace(0, 1, 12)[:, None] * 0.2 * torch.randn(1, 12, generator=random)
    return Look((grid * 0.8 + bend + 0.02).clamp(-1, 1))


def photo(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((40, 30, 3)).astype(np.float32)


def test_in_full_light_it_is_itself():
    look = curved()
    assert look.lit(1.0, 1.0, 1.0) is look


@settings(deadline=None, max_examples=30, derandomize=True)
@given(light=LIGHT, seed=st.integers(0, 50))
def test_of_a_photo_in_other_light_it_makes_the_result_in_that_light(light, seed):
    look, seen = curved(seed), photo(seed)
    made = look.apply(seen)
    found = look.lit(light, light, light).apply(light * seen)
    whole = (made > 0) & (made < 1) & (light * made < 1)
    assert np.abs(found - light * made)[whole].max() < 0.02


@settings(deadline=None, max_examples=30, derandomize=True)
@given(light=st.tuples(LIGHT, LIGHT, LIGHT))
def test_colour_of_light_is_taken_out_and_its_brightness_kept(light):
    seen = photo(1) * 0.6
    bright = np.array([0.299, 0.587, 0.114]) @ light
    found = IDENTITY.lit(*light).apply((seen * light).astype(np.float32))
    assert found == pytest.approx((bright * seen).clip(0, 1), abs=1e-5)


def test_strength_zero_leaves_the_photo_in_any_light():
    pixels = (photo(2) * 255).astype(np.uint8)
    assert np.array_equal(curved().at(0).lit(0.4, 0.3, 0.2).apply(pixels), pixels)
    half = curved().at(0.5).lit(0.4, 0.4, 0.4).apply(pixels).astype(int)
    whole = curved().lit(0.4, 0.4, 0.4).apply(pixels).astype(int)
    assert np.abs(half - (pixels + whole) / 2)[(whole > 0) & (whole < 255)].max() <= 1
