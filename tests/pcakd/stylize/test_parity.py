"""The students compute what the authors' TensorFlow code computes with the released weights."""

import numpy as np
import pytest
import torch

from pcakd.student.released import import_released
from pcakd.stylize.stylizer import StylizeOptions, Stylizer
from tests.reference import parity
from tests.reference.plain import smooth


@pytest.fixture(scope="module", params=parity.BACKBONES)
def released(request, assets):
    return request.param, Stylizer(
        import_released(assets / f"released_tf/{request.param}"), device="cpu", precision="fp32"
    )


def assert_near(stylizer, backbone, content, style, references):
    """Each transform is within tolerance before the filter, and within a grey level after it."""
    style, guide = stylizer.style(style), torch.from_numpy(content).permute(2, 0, 1)
    for transform, theirs in references.items():
        ours = stylizer.transfer(content, style, StylizeOptions(transform=transform))[0]
        found = parity.distance(ours, theirs)
        assert all(one <= most for one, most in zip(found, parity.TOLERANCE[backbone], strict=True)), transform
        filtered, expected = smooth(ours, guide).int(), smooth(theirs, guide).int()
        assert (filtered - expected).abs().max() <= 1, transform


@pytest.mark.parametrize("pair", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_transfer_is_within_tolerance_of_the_authors_arrays_before_and_after_the_filter(released, assets, pair):
    backbone, stylizer = released
    with np.load(assets / f"official_demo/reference/{backbone}_{pair}.npz") as stored:
        references = {name: parity.unpacked(stored[name]) for name in parity.TRANSFORMS}
        assert_near(stylizer, backbone, stored["content"], stored["style"], references)


def test_transfer_is_within_tolerance_of_the_small_references_before_and_after_the_filter(released):
    backbone, stylizer = released
    sizes = []
    for size, content, style, references in parity.references(backbone):
        sizes.append(size)
        assert_near(stylizer, backbone, content, style, references)
    assert sizes == list(parity.SIZES)
