from dataclasses import replace

import numpy as np
import pytest
import torch

from pcakd.errors import CheckpointError, UsageError
from pcakd.stylize.style import Style, mix_styles
from pcakd.stylize.stylizer import Stylizer
from tests.corpus import photograph
from tests.models import random_checkpoint
from tests.reference.statistics import feature_statistics


@pytest.fixture(scope="module")
def stylizer():
    return Stylizer(random_checkpoint(), device="cpu")


def test_a_style_saved_and_loaded_gives_the_same_pixels(stylizer, tmp_path):
    style = stylizer.style(photograph(0))
    style.save(tmp_path / "style.safetensors")
    loaded = Style.load(tmp_path / "style.safetensors")
    content = photograph(1)
    assert np.array_equal(stylizer.stylize(content, style), stylizer.stylize(content, loaded))


def test_pooling_a_photo_with_itself_changes_nothing(stylizer):
    one, two = stylizer.style(photograph(0)), stylizer.style(photograph(0), photograph(0))
    for a, b in zip(one.levels, two.levels, strict=True):
        torch.testing.assert_close(a.mean, b.mean)
        torch.testing.assert_close(a.covariance, b.covariance)


def test_pooled_statistics_are_those_of_both_photos_pixels_together():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(1, 3, 8, 8, generator=generator), 2 + torch.randn(1, 3, 8, 8, generator=generator)
    mixed = mix_styles([Style((feature_statistics(x),) * 4, "m") for x in (a, b)])
    together = feature_statistics(torch.cat([a, b]))
    torch.testing.assert_close(mixed.levels[0].mean, together.mean)
    torch.testing.assert_close(mixed.levels[0].covariance, together.covariance, atol=1e-6, rtol=1e-6)


def test_colours_are_saved_and_pooled_and_left_out_where_one_style_lacks_them(stylizer, tmp_path):
    photos = [np.asarray(photograph(number, 96, 128)) for number in (0, 1)]
    styles = [stylizer.style(photo) for photo in photos]
    styles[0].save(tmp_path / "style.safetensors")
    loaded = Style.load(tmp_path / "style.safetensors")
    assert all(torch.equal(*pair) for pair in zip(loaded.colours, styles[0].colours, strict=True))
    both = np.concatenate([photo.reshape(-1, 3) for photo in photos]) / 255
    mixed = mix_styles(styles)
    assert np.allclose(mixed.colours.mean, both.mean(0), atol=1e-6)
    assert np.allclose(mixed.colours.covariance, np.cov(both.T, bias=True), atol=1e-6)
    assert mix_styles([styles[0], replace(styles[1], colours=None)]).colours is None


def test_a_weight_of_zero_leaves_a_photo_out(stylizer):
    mixed = stylizer.style(photograph(0), photograph(1), weights=[1, 0])
    alone = stylizer.style(photograph(0))
    torch.testing.assert_close(mixed.levels[2].covariance, alone.levels[2].covariance)


@pytest.mark.parametrize("weights", [[0, 0], [1, -1], [1]])
def test_weights_that_cannot_be_are_refused(stylizer, weights):
    with pytest.raises(UsageError, match="weight"):
        stylizer.style(photograph(0), photograph(1), weights=weights)


def test_a_style_of_another_model_is_refused(stylizer):
    other = Stylizer(random_checkpoint(seed=1), device="cpu")
    with pytest.raises(UsageError, match="another model"):
        stylizer.stylize(photograph(1), other.style(photograph(0)))
    with pytest.raises(UsageError, match="different models"):
        mix_styles([stylizer.style(photograph(0)), other.style(photograph(0))])


def test_a_file_that_is_no_style_is_refused(tmp_path):
    path = tmp_path / "style.safetensors"
    path.write_bytes(b"no style")
    with pytest.raises(CheckpointError):
        Style.load(path)
