import numpy as np
import pytest

from pcakd.evaluation.fsim import fsim, phase_congruency
from tests.corpus import photograph

PHOTO = np.asarray(photograph(3, 96, 128))


def test_equal_photos_score_one_and_a_single_colour_has_no_structure_to_lose():
    assert fsim(PHOTO, PHOTO) == pytest.approx(1)
    plain = np.full_like(PHOTO, 90)
    assert fsim(plain, plain) == 1.0
    assert np.allclose(phase_congruency(np.full((32, 40), 0.4)), 0, atol=1e-3)


def test_blur_noise_and_another_photo_cost_more_the_stronger_they_are():
    rng = np.random.default_rng(0)
    noise = [np.clip(PHOTO + rng.normal(0, sigma, PHOTO.shape), 0, 255).astype(np.uint8) for sigma in (2, 8, 30)]
    blurred = [_box(PHOTO, size) for size in (3, 7, 15)]
    for damaged in (noise, blurred):
        scores = [fsim(PHOTO, photo) for photo in damaged]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] < 1
    assert fsim(PHOTO, np.asarray(photograph(9, 96, 128))) < fsim(PHOTO, noise[0])


def test_phase_congruency_finds_an_edge_whatever_its_contrast():
    for contrast in (0.2, 0.8):
        step = 0.1 + np.random.default_rng(0).normal(0, 0.002, (128, 128))
        step[:, 64:] += contrast
        found = phase_congruency(step)
        assert np.median(found[:, 63:65].max(1)) > 0.5
        assert np.median(found[:, 28:36].max(1)) < 0.3


def test_the_order_of_the_two_does_not_matter():
    darker = PHOTO // 2
    assert fsim(PHOTO, darker) == pytest.approx(fsim(darker, PHOTO))


def _box(photo: np.ndarray, size: int) -> np.ndarray:
    padded = np.pad(photo.astype(float), ((size // 2,) * 2, (size // 2,) * 2, (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(0, 1))
    return windows.mean((-2, -1)).astype(np.uint8)
