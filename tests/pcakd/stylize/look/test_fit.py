import numpy as np
import pytest
import torch

from pcakd.evaluation.graded import Grade
from pcakd.evaluation.metrics import psnr, stray_gradients
from pcakd.photos.photo import Photo
from pcakd.stylize.look.decide import Small, style_colours
from pcakd.stylize.look.fit import KEPT, Aim, LookMoments, gather, grid_shape, solve
from pcakd.stylize.look.look import Look, fit_look
from tests.corpus import photograph


def tensor(rgb) -> torch.Tensor:
    return torch.from_numpy(np.array(rgb)).float() / 255


def fitted(content, result) -> np.ndarray:
    """The content in the look of what was made of it."""
    return fit_look(tensor(content), tensor(result)).apply(np.asarray(content))


PHOTO = np.asarray(photograph(0, 192, 256))


def test_a_photo_that_came_out_as_it_was_gives_a_look_that_changes_nothing():
    assert np.array_equal(fitted(PHOTO, PHOTO), PHOTO)


def test_a_shift_of_all_colours_is_found_exactly():
    photo = (PHOTO // 2 + 30).astype(np.uint8)
    shifted = (photo + np.array([20, -10, 5])).astype(np.uint8)
    assert np.abs(fitted(photo, shifted).astype(int) - shifted).max() <= 1


@pytest.mark.parametrize("seed", range(3))
def test_a_colour_grade_is_found_nearly(seed):
    graded = Grade.random(seed).apply(PHOTO)
    assert psnr(fitted(PHOTO, graded), graded) > max(26, psnr(PHOTO, graded) + 3)


def test_a_look_fitted_on_a_small_copy_fits_the_large_photo():
    large = np.asarray(photograph(0, 384, 512))
    grade = Grade.random(5)
    look = fit_look(tensor(PHOTO), tensor(grade.apply(PHOTO)))
    small, whole = psnr(look.apply(PHOTO), grade.apply(PHOTO)), psnr(look.apply(large), grade.apply(large))
    assert whole > small - 1.5


def test_what_differs_by_place_stays_apart():
    result = PHOTO.copy() // 2
    result[:, 128:] = PHOTO[:, 128:] // 2 + 100
    found = fitted(PHOTO, result)
    error = np.abs(found.astype(int) - result)
    assert error[:, :64].mean() < 12
    assert error[:, 192:].mean() < 12


def test_a_halo_around_a_dark_thing_on_plain_ground_loses_a_third():
    y, x = np.mgrid[:192, :256]
    inside = (abs(y - 96) < 30) & (abs(x - 128) < 30)
    photo = np.repeat(np.where(inside, 30, 180)[..., None], 3, 2).astype(np.uint8)
    distance = np.maximum(abs(y - 96), abs(x - 128)) - 30
    halo = photo + (40 * np.exp(-distance.clip(0) / 6) * ~inside)[..., None].astype(np.uint8)
    assert stray_gradients(photo, fitted(photo, halo)) < 0.75 * stray_gradients(photo, halo)


def test_noise_that_is_the_whole_photo_is_hardly_amplified():
    noise = np.random.default_rng(0).normal(0, 2, (128, 128, 3))
    photo = (128 + noise).round().astype(np.uint8)
    amplified = (128 + 10 * noise).round().clip(0, 255).astype(np.uint8)
    assert fitted(photo, amplified).std() < 3 * photo.std()


def test_noise_on_a_flat_place_of_a_photo_is_not_amplified():
    noise = np.random.default_rng(0).normal(0, 2, (192, 128, 3))
    photo, result = PHOTO.copy(), PHOTO.copy()
    photo[:, :128], result[:, :128] = 128 + noise, (128 + 4 * noise).clip(0, 255)
    assert fitted(photo, result)[20:-20, 20:80].std() < 2 * photo[20:-20, 20:80].std()


def test_moments_of_parts_add_up_to_those_of_the_whole():
    content, result = (tensor(p) for p in (PHOTO, 255 - PHOTO))
    half = torch.zeros(192, 256)
    half[:, :100] = 1
    parts = gather(content, result, half) + gather(content, result, 1 - half)
    whole = gather(content, result)
    for name in ("content", "crossed", "result"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2), (5, 400)])
@pytest.mark.parametrize("colour", [None, 0, 77, 255])
def test_constant_and_extreme_photos_have_a_look_of_finite_maps(size, colour):
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (*size, 3), np.uint8) if colour is None else np.full((*size, 3), colour, np.uint8)
    result = np.full_like(photo, 100)
    look = fit_look(tensor(photo), tensor(result))
    assert torch.isfinite(look.grid).all()
    found = look.apply(photo)
    assert found.shape == photo.shape
    if colour is not None:
        assert np.abs(found.astype(int) - 100).max() <= 1


def test_a_region_without_pixels_has_the_identity():
    nothing = torch.zeros(192, 256)
    look = Look(solve(gather(tensor(PHOTO), tensor(255 - PHOTO), nothing)))
    assert np.array_equal(look.apply(PHOTO), PHOTO)


def test_cells_are_square_and_at_least_one_each_way():
    assert grid_shape(300, 400)[1:] == (10, 13)
    assert grid_shape(1, 1000)[1:] == (2, 13)


def test_moments_without_place_are_those_of_one_cell():
    content = tensor(PHOTO)
    told: LookMoments = gather(content, content).without_place()
    assert told.content.shape[1:3] == (1, 1)
    assert solve(told).shape[:2] == (1, 1)


def aimed(content, result, colours=None) -> np.ndarray:
    """The content in the look that an aim makes of the result."""
    return fit_look(tensor(content), tensor(result), aim=Aim(colours)).apply(np.asarray(content))


def luma(rgb: np.ndarray) -> np.ndarray:
    return rgb.astype(float) @ [0.299, 0.587, 0.114]


def test_an_aim_leaves_what_was_left_alone():
    assert np.array_equal(aimed(PHOTO, PHOTO), PHOTO)
    assert np.array_equal(aimed(PHOTO, PHOTO, style_colours(Small.of(Photo(rgb=PHOTO)))), PHOTO)


def chroma(rgb: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of red and blue without luma, levels."""
    apart = np.stack([rgb[..., channel] - luma(rgb) for channel in (0, 2)])
    return np.concatenate([apart.mean((1, 2)), apart.std((1, 2))])


def test_chroma_is_that_of_an_aims_colours_whatever_the_result_has():
    muted = (0.5 * PHOTO + 0.25 * luma(PHOTO)[..., None] + 30).astype(np.uint8)
    style = (0.4 * np.asarray(photograph(3)) + np.array([70, 60, 45])).astype(np.uint8)
    found = chroma(aimed(PHOTO, muted, style_colours(Small.of(Photo(rgb=style)))))
    assert found == pytest.approx(chroma(style), abs=2)
    assert np.abs(chroma(aimed(PHOTO, muted)) - chroma(style)).max() > 6


def test_an_aim_keeps_luma_where_maps_explain_nothing_and_none_where_they_explain_all():
    shift = (PHOTO // 2 + 60).astype(np.uint8)
    assert np.abs(aimed(PHOTO, shift).astype(int) - fitted(PHOTO, shift)).mean() < 1.5
    elsewhere = np.asarray(photograph(3, 192, 256))
    kept = luma(aimed(PHOTO, elsewhere)) - (1 - KEPT) * luma(fitted(PHOTO, elsewhere))
    correlation = np.corrcoef(kept.ravel(), luma(PHOTO).ravel())[0, 1]
    assert correlation > 0.4


def test_luma_is_that_of_an_aims_colours_where_maps_explain_all_and_the_results_where_they_do_not():
    duller, elsewhere = (0.8 * PHOTO + 20).astype(np.uint8), np.asarray(photograph(3, 192, 256))
    style = (0.6 * PHOTO + 60).astype(np.uint8)
    colours = style_colours(Small.of(Photo(rgb=style)))
    alike, unlike = (luma(aimed(PHOTO, result, colours)).mean() for result in (duller, elsewhere))
    assert alike == pytest.approx(luma(style).mean(), abs=1.5)
    assert unlike == pytest.approx((1 - KEPT) * luma(elsewhere).mean() + KEPT * luma(PHOTO).mean(), abs=1.5)


def test_where_a_style_has_less_contrast_flat_places_get_less_still():
    noise = np.random.default_rng(0).normal(0, 3, (192, 128, 3))
    photo = PHOTO.copy()
    photo[:, :128] = 128 + noise
    duller = (90 + 0.4 * (photo.astype(float) - 128)).clip(0, 255).round().astype(np.uint8)
    flat = [luma(one)[20:-20, 20:80].std() for one in (aimed(photo, duller), fitted(photo, duller))]
    assert flat[0] < 0.8 * flat[1]
