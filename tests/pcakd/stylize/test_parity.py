"""The students compute what the authors' TensorFlow code computes with the released weights."""

import numpy as np
import pytest
import torch

from pcakd.student.released import import_released
from pcakd.stylize.stylizer import StylizeOptions, Stylizer
from tests.reference.plain import smooth

TOLERANCE = {"vgg": (2e-3, 5e-5), "mobilenet": (2e-4, 2e-5)}
"""Largest and mean difference from the authors' arrays, on 0..1."""


@pytest.fixture(scope="module", params=["vgg", "mobilenet"])
def released(request, assets):
    return request.param, Stylizer(
        import_released(assets / "released_tf" / request.param), device="cpu", precision="fp32"
    )


@pytest.mark.parametrize("pair", [0, 1, 2])
def test_transfer_is_within_tolerance_of_the_authors_arrays_before_and_after_the_filter(released, assets, pair):
    backbone, stylizer = released
    reference = np.load(assets / "official_demo" / "reference" / f"{backbone}_{pair}.npz")
    content = reference["content"]
    style = stylizer.style(reference["style"])
    guide = torch.from_numpy(content).permute(2, 0, 1)
    largest, mean = TOLERANCE[backbone]
    for transform in ("zca", "ot", "adain"):
        ours = stylizer.transfer(content, style, StylizeOptions(transform=transform))[0]
        theirs = torch.from_numpy(reference[transform].astype(np.float32) / 32767).permute(2, 0, 1)
        difference = (ours - theirs).abs()
        assert difference.max() <= largest, transform
        assert difference.mean() <= mean, transform
        filtered, expected = smooth(ours, guide).int(), smooth(theirs, guide).int()
        assert (filtered - expected).abs().max() <= 1, transform
