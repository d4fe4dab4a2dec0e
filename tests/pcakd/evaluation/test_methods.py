import numpy as np
import pytest
from skimage.color import rgb2lab

from pcakd.evaluation.graded import Grade
from pcakd.evaluation.methods import baselines, linear_monge_kantorovich, model_method, reinhard
from pcakd.evaluation.metrics import psnr
from pcakd.stylize.stylizer import StylizeOptions, Stylizer
from tests.corpus import photograph
from tests.models import random_checkpoint

CONTENT, STYLE = (np.asarray(photograph(i, 64, 80)) for i in (0, 1))
SOFT = Grade(gains=(0.9, 0.8, 0.7), saturation=0.8).apply(CONTENT)


def test_linear_monge_kantorovich_gives_back_a_linear_grade():
    assert psnr(linear_monge_kantorovich(CONTENT, SOFT), SOFT) > 45


def test_reinhard_gives_the_styles_lab_means_and_deviations():
    a, b = rgb2lab(reinhard(CONTENT, SOFT)), rgb2lab(SOFT)
    assert np.allclose(a.mean((0, 1)), b.mean((0, 1)), atol=1.5)
    assert np.allclose(a.std((0, 1)), b.std((0, 1)), atol=1.5)


@pytest.mark.parametrize("baseline", baselines(), ids=lambda method: method.name)
@pytest.mark.parametrize("colour", [0, 128, 255])
def test_baselines_take_photos_of_one_colour(baseline, colour):
    constant = np.full((20, 30, 3), colour, np.uint8)
    for content, style in [(CONTENT, constant), (constant, STYLE), (constant, constant)]:
        result = baseline.apply(content, baseline.prepare(style))
        assert result.dtype == np.uint8
        assert result.shape == content.shape


def test_a_model_runs_as_stylize_runs_it():
    stylizer = Stylizer(random_checkpoint("mobilenet"), device="cpu")
    method = model_method("ours", stylizer, StylizeOptions(compat="released"))
    result = method.apply(CONTENT, method.prepare(STYLE))
    assert np.array_equal(result, stylizer.stylize(CONTENT, STYLE, compat="released"))
    assert method.parameters == stylizer.student.parameter_count()
    assert method.details == {
        "digest": stylizer.digest,
        "backbone": "mobilenet",
        "compat": "released",
        "render": "full",
    }
