"""What training takes of a stylization is what the product does and what the evaluation measures."""

import numpy as np
import pytest
import torch

from pcakd.distillation.differentiable import (
    guided,
    luminance_ssim,
    style_loss,
)
from pcakd.evaluation.metrics import StyleLoss
from pcakd.evaluation.metrics import luminance_ssim as measured_ssim
from pcakd.stylize.smoothing import guided_filter
from tests.corpus import photograph
from tests.pcakd.distillation import parts

CONTENT, RESULT = (np.array(photograph(i, 64, 80)) for i in (0, 1))


def tensor(photo: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255


def test_the_filter_is_the_products_guided_filter():
    wanted = guided_filter(tensor(CONTENT)[0] * 255, tensor(RESULT)[0] * 255) / 255
    torch.testing.assert_close(guided(tensor(RESULT), tensor(CONTENT))[0], wanted, atol=1e-4, rtol=0)


def test_the_filters_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    guide = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    source = torch.rand(1, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: guided(x, guide), (source,), atol=1e-6)


def test_structure_is_the_ssim_that_the_evaluation_measures():
    found = float(luminance_ssim(tensor(RESULT), tensor(CONTENT)))
    # scikit-image pads what the windows do not reach, training leaves it out.
    assert found == pytest.approx(measured_ssim(RESULT, CONTENT), abs=0.02)
    assert float(luminance_ssim(tensor(CONTENT), tensor(CONTENT))) == pytest.approx(1)


def test_style_is_the_gram_loss_that_the_evaluation_measures():
    teacher = parts.teacher()
    measure = StyleLoss(teacher)
    wanted = measure(RESULT, measure.statistics(CONTENT))["gram"]
    found = style_loss(teacher.features(tensor(RESULT)), teacher.features(tensor(CONTENT)))
    assert float(found) == pytest.approx(wanted, rel=1e-4)
