import numpy as np
import pytest
import torch

from pcakd.evaluation.decibels import PSNR_CAP
from pcakd.evaluation.metrics import (
    StyleLoss,
    ciede2000,
    delta_e76,
    edge_ssim,
    histogram_correlation,
    luminance_ssim,
    psnr,
    roughness,
    stray_gradients,
)
from pcakd.student.checkpoint import save_checkpoint
from pcakd.teacher import load_teacher
from tests.corpus import photograph
from tests.models import random_checkpoint

A, B = (np.asarray(photograph(i, 64, 80)) for i in (0, 1))


@pytest.fixture(scope="module")
def loss(tmp_path_factory):
    path = tmp_path_factory.mktemp("teacher") / "student.safetensors"
    checkpoint = random_checkpoint()
    save_checkpoint(path, checkpoint.student, checkpoint.metadata)
    return StyleLoss(load_teacher(path))


def test_equal_photos_score_best_on_every_measure(loss):
    assert psnr(A, A) == PSNR_CAP
    assert luminance_ssim(A, A) == pytest.approx(1)
    assert edge_ssim(A, A) == pytest.approx(1)
    assert ciede2000(A, A) == 0
    assert all(value == 0 for value in loss(A, loss.statistics(A)).values())


def test_psnr_of_a_known_error():
    assert psnr(np.full((4, 4, 3), 100, np.uint8), np.full((4, 4, 3), 110, np.uint8)) == pytest.approx(28.13, abs=0.01)


def test_measures_tell_another_photo_from_a_slight_change(loss):
    slight = np.clip(A.astype(int) + 4, 0, 255).astype(np.uint8)
    assert luminance_ssim(A, B) < luminance_ssim(A, slight)
    assert edge_ssim(A, B) < edge_ssim(A, slight)
    assert ciede2000(A, B) > ciede2000(A, slight)
    style = loss.statistics(A)
    assert loss(B, style)["gram"] > loss(slight, style)["gram"]
    assert loss(B, style)["moments"] > loss(slight, style)["moments"]


def test_style_losses_do_not_depend_on_where_things_stand(loss):
    # All but a student's padding is blind to place, so a mirrored photo has nearly the photo's own statistics.
    mirrored = np.ascontiguousarray(A[:, ::-1])
    assert loss(mirrored, loss.statistics(A))["gram"] < loss(B, loss.statistics(A))["gram"] / 5


def test_the_losses_means_are_those_of_the_levels(loss):
    scores = loss(A, loss.statistics(B))
    for name in ("gram", "moments"):
        assert scores[name] == pytest.approx(np.mean([scores[f"{name}.{level}"] for level in range(4)]))


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (6, 6)])
def test_tiny_photos_have_a_similarity(size):
    photo = np.asarray(photograph(0, *size))
    assert luminance_ssim(photo, photo) == pytest.approx(1)


def test_a_gram_matrix_is_the_mean_outer_product(loss):
    features = loss.teacher.features(torch.from_numpy(A.copy()).permute(2, 0, 1)[None].float() / 255)[0]
    flat = features[0].flatten(1).double()
    torch.testing.assert_close(loss.statistics(A)[0].gram, flat @ flat.T / flat.shape[1], atol=1e-5, rtol=1e-5)


def test_a_halo_in_a_flat_sky_is_a_stray_gradient_and_more_contrast_is_none():
    ramp = np.linspace(60, 90, 120)[None, :, None].repeat(90, 0).repeat(3, 2)  # sky
    ramp[60:] = 20  # a roof
    content = ramp.round().astype(np.uint8)
    halo = ramp.copy()
    halo[40:60] += np.linspace(0, 60, 20)[:, None, None]
    contrast = (20 + (ramp - 20) * 2).round().astype(np.uint8)
    own = stray_gradients(content, content)
    assert stray_gradients(content, contrast) == pytest.approx(own, rel=0.05)
    assert stray_gradients(content, halo.round().astype(np.uint8)) > 1.5 * own
    assert stray_gradients(content, np.full_like(content, 77)) == 0


def test_roughness_is_the_gain_of_a_smooth_map_and_grows_with_banding():
    y, x = np.mgrid[0:120, 0:160]
    smooth = np.stack([20 + x, 30 + y, np.full_like(x, 90)], -1).astype(np.uint8)
    assert roughness(smooth, smooth) == pytest.approx(1)
    assert roughness(smooth, (40 + smooth * 0.5).round().astype(np.uint8)) == pytest.approx(0.5, abs=0.1)
    assert roughness(smooth, smooth // 32 * 32) > 1.5
    assert roughness(np.zeros_like(smooth), smooth) == 0  # one colour has no neighbour


def test_histograms_of_the_same_colours_in_other_places_and_sizes_correlate_fully():
    shuffled = np.random.default_rng(0).permutation(A.reshape(-1, 3)).reshape(A.shape)
    assert histogram_correlation(shuffled, A) == pytest.approx(1)
    assert histogram_correlation(A.repeat(2, 0), A) == pytest.approx(1)
    assert histogram_correlation(np.full_like(A, 250), np.full_like(A, 3)) < 0.1
    assert histogram_correlation(A // 2, A) < histogram_correlation(A, A)


def test_a_difference_in_lightness_alone_is_its_size_in_delta_e76():
    levels = np.array([119, 131])
    first, second = 116 * np.cbrt(((levels / 255 + 0.055) / 1.055) ** 2.4) - 16  # CIE 1976 of sRGB greys
    grey, lighter = (np.full((4, 4, 3), level, np.uint8) for level in levels)
    assert delta_e76(grey, lighter) == pytest.approx(second - first, abs=0.02)
    assert delta_e76(grey, grey) == 0
