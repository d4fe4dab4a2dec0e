import pytest
import torch

from pcakd.errors import UsageError
from pcakd.student.network import Student, StudentSpec, residual, upsample
from tests.models import random_checkpoint

BACKBONES = ["vgg", "mobilenet"]


@pytest.mark.parametrize(("backbone", "weights"), [("vgg", 283_236), ("mobilenet", 52_742)])
def test_the_papers_widths_give_the_papers_number_of_weights(backbone, weights):
    assert Student(StudentSpec.default(backbone)).parameter_count() == weights


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("channels", [(4, 5, 6, 7), (1, 1, 1, 1), (16, 8, 24, 12)])
def test_any_widths_decode_to_the_photos_size(backbone, channels):
    student = random_checkpoint(backbone, channels).student
    height, width = 3 * student.spec.multiple, 2 * student.spec.multiple
    photo = torch.rand(2, 3, height, width)
    encoded = student.encode(photo)
    assert [f.shape[1] for f in encoded.features] == list(channels)
    assert encoded.features[3].shape[2:] == (3, 2)
    assert student(photo).shape == photo.shape


@pytest.mark.parametrize("backbone", BACKBONES)
def test_photos_of_a_batch_do_not_touch_each_other(backbone):
    student = random_checkpoint(backbone).student
    photos = torch.rand(2, 3, 64, 32)
    together = student(photos)
    apart = torch.cat([student(photos[:1]), student(photos[1:])])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)


def test_the_residual_of_a_constant_picture_is_zero_up_to_its_edges():
    assert residual(torch.full((1, 3, 5, 6), 0.3)).abs().max() < 1e-6


def test_upsampling_keeps_constants_and_doubles_both_sides():
    up = upsample(torch.full((1, 2, 3, 4), 0.7))
    assert up.shape == (1, 2, 6, 8)
    assert (up - 0.7).abs().max() < 1e-6


@pytest.mark.parametrize("channels", [(1, 2, 3), (0, 1, 2, 3), (1, 2, 3, 4, 5)])
def test_widths_that_cannot_be_are_refused_by_name(channels):
    with pytest.raises(UsageError, match="channels"):
        StudentSpec(backbone="vgg", channels=channels)


def test_an_unknown_backbone_is_refused_with_the_choices():
    with pytest.raises(UsageError, match="vgg, mobilenet"):
        StudentSpec(backbone="resnet", channels=(1, 2, 3, 4))  # type: ignore[arg-type]
