import pytest
import torch
from torch.nn import functional as F

from pcakd.distillation.closed_form import fit_decoder, fit_encoder, teacher_activations
from pcakd.distillation.data import Crops
from pcakd.distillation.validation import unexplained
from pcakd.distillation.whitening import WhitenedConv2d, folded, whiten
from pcakd.student.network import Student, StudentSpec
from tests.pcakd.distillation import parts


@pytest.fixture(scope="module", params=["vgg", "mobilenet"])
def start(request):
    """A student in its closed form, with its teacher, bases and photos."""
    torch.manual_seed(0)
    teacher, data = parts.teacher(request.param), parts.photos()
    bases = parts.bases(teacher, data)
    sample = Crops(photos=data, size=64, seed=0).sample(12)
    student = Student(StudentSpec(backbone=request.param, channels=parts.CHANNELS)).requires_grad_(False)
    random = Student(student.spec).requires_grad_(False)
    fit_encoder(student, teacher, bases.bases, sample, sigmas=2.0)
    fit_decoder(student, sample)
    return student, random, teacher, bases, sample


def test_the_closed_form_explains_more_of_the_teacher_than_random_weights(start):
    student, random, teacher, bases, sample = start
    photos = list(sample.split(1))
    fitted, drawn = (
        unexplained(student, teacher, bases.bases, photos),
        unexplained(random, teacher, bases.bases, photos),
    )
    assert all(a < b for a, b in zip(fitted, drawn, strict=True))
    assert fitted[0] < 0.5


def test_the_closed_form_reconstructs_better_than_random_weights(start):
    student, random, _, _, sample = start
    assert F.mse_loss(student(sample), sample) < 0.2 * F.mse_loss(random(sample), sample)


def test_most_values_pass_the_relu(start):
    student, _, _, _, sample = start
    for features in student.encode(sample).features:
        assert (features > 0).float().mean() > 0.85


def test_teacher_activations_end_each_block_with_its_level(start):
    _, _, teacher, _, sample = start
    for seen, level in zip(teacher_activations(teacher, sample), teacher.features(sample), strict=True):
        torch.testing.assert_close(seen[-1], level)


def test_whitening_changes_the_coordinates_but_not_the_function(start):
    student, _, _, _, sample = start
    plain = folded(student)
    whitened = whiten(folded(student), sample, 1e-3)
    assert any(isinstance(m, WhitenedConv2d) for m in whitened.modules())
    torch.testing.assert_close(whitened(sample), plain(sample), atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(folded(whitened)(sample), plain(sample), atol=2e-4, rtol=1e-4)
