"""Angles between bases, and turning one set towards another."""

import math

import pytest
import torch

from pcakd.drift.measures import aligned, comparable, principal_angles


def basis(seed: int, size: int = 8, width: int = 3) -> torch.Tensor:
    drawn = torch.randn(size, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.linalg.qr(drawn)[0]


@pytest.mark.parametrize("degrees", [1e-6, 0.01, 30.0, 90.0])
def test_a_turn_by_an_angle_is_that_angle(degrees):
    one = torch.eye(5, dtype=torch.float64)[:, :2]
    other, angle = one.clone(), math.radians(degrees)
    other[:, 1] = torch.tensor([0, math.cos(angle), math.sin(angle), 0, 0], dtype=torch.float64)
    assert principal_angles(one, other).tolist() == pytest.approx([0.0, degrees], abs=1e-10)
    assert principal_angles(other, one[:, :1]).tolist() == pytest.approx([0.0], abs=1e-10)


def test_the_same_span_in_other_coordinates_has_no_angle_and_is_turned_back():
    one = basis(0)
    other = one @ basis(1, 3, 3)
    assert principal_angles(one, other).max() < 1e-5
    (back,) = aligned([other.float()], [one.float()])
    torch.testing.assert_close(back, one.float(), atol=1e-5, rtol=0)


def test_turning_keeps_the_span_and_the_columns_orthonormal():
    one, other = basis(2), basis(3)
    (turned,) = aligned([one], [other])
    assert principal_angles(one, turned).max() < 1e-4
    torch.testing.assert_close(turned.T @ turned, torch.eye(3), atol=1e-5, rtol=0)
    assert (turned - other).norm() <= (one - other).norm()
    assert comparable([one], [other])
    assert not comparable([one], [other[:, :2]])
