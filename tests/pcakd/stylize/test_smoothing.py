import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcakd.stylize.smoothing import EPSILON, RADIUS, box_mean, guided_filter, smooth_pixels
from tests.corpus import photograph
from tests.reference.plain import smooth


def plain_box_mean(x: np.ndarray, radius: int) -> np.ndarray:
    padded = np.pad(x, radius, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * radius + 1, 2 * radius + 1))
    return windows.mean((-2, -1))


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 3), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_box_means_are_plain_means_with_reflected_borders(height, width, radius, seed):
    radius = min(radius, height, width)
    x = np.random.default_rng(seed).random((height, width))
    mean = box_mean(torch.from_numpy(x)[None], radius)[0].numpy()
    np.testing.assert_allclose(mean, plain_box_mean(x, radius), atol=1e-12)


def test_windows_larger_than_the_picture_reflect_more_than_once():
    x = torch.tensor([[[1.0, 3.0]]])
    assert torch.allclose(box_mean(x, 30), torch.full((1, 1, 2), 2.0), atol=0.05)


def test_the_filter_is_the_papers_local_linear_regression():
    rng = np.random.default_rng(0)
    guide, source = rng.random((3, 9, 11)) * 255, rng.random((1, 9, 11)) * 255
    radius = 2
    slopes, offsets = np.zeros((3, 9, 11)), np.zeros((9, 11))
    for y in range(9):
        for x in range(11):
            rows = np.pad(np.arange(9), radius, mode="symmetric")[y : y + 5]
            columns = np.pad(np.arange(11), radius, mode="symmetric")[x : x + 5]
            i = guide[:, rows][:, :, columns].reshape(3, -1)
            p = source[0][rows][:, columns].reshape(-1)
            covariance = np.cov(i, bias=True) + EPSILON * np.eye(3)
            slopes[:, y, x] = np.linalg.solve(covariance, (i * p).mean(1) - i.mean(1) * p.mean())
            offsets[y, x] = p.mean() - slopes[:, y, x] @ i.mean(1)
    expected = sum(plain_box_mean(slopes[c], radius) * guide[c] for c in range(3)) + plain_box_mean(offsets, radius)
    filtered = guided_filter(torch.from_numpy(guide), torch.from_numpy(source), radius=radius)
    np.testing.assert_allclose(filtered[0].numpy(), expected, atol=1e-6)


def test_a_picture_filtered_by_itself_keeps_its_strong_edges():
    photo = torch.from_numpy(np.asarray(photograph(0)).copy()).permute(2, 0, 1)
    filtered = smooth(photo.float() / 255, photo)
    assert (filtered.int() - photo.int()).abs().float().mean() < 3


def test_a_constant_guide_and_source_stay_constant():
    constant = torch.full((3, 20, 30), 77, dtype=torch.uint8)
    assert (smooth((constant.float() + 0.5) / 255, constant) == 77).all()


@given(st.integers(1, 150), st.integers(1, 150), st.integers(0, 5))
@settings(max_examples=8, deadline=None)
def test_running_sums_agree_with_the_plain_filter(height, width, seed):
    guide, source = (torch.from_numpy(np.asarray(photograph(seed + i, height, width)).copy()) for i in (0, 1))
    planes = [picture.permute(2, 0, 1).float() for picture in (guide, source)]
    plain = guided_filter(*planes, radius=RADIUS).round().clamp(0, 255).permute(1, 2, 0)
    difference = (smooth_pixels(source, guide).float() - plain).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 0.01


def test_running_sums_give_the_same_bytes_for_any_number_of_threads():
    guide, source = (torch.from_numpy(np.asarray(photograph(i, 300, 200)).copy()) for i in (0, 1))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = smooth_pixels(source, guide)
        torch.set_num_threads(3)
        assert torch.equal(one, smooth_pixels(source, guide))
    finally:
        torch.set_num_threads(threads)
