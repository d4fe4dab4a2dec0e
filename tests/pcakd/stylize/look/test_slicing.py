import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcakd.luma import REC_601
from pcakd.stylize.look import slicing
from pcakd.stylize.look.look import IDENTITY, Look
from pcakd.stylize.look.slicing import Slicer
from pcakd.stylize.matched_grade import MatchedGrade
from tests.corpus import photograph

CPU = torch.device("cpu")
SIDES = st.integers(1, 70)


def some_grid(seed: int, shape=(4, 6, 5)) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0.3, 0.4, (*shape, 12)).astype(np.float32))


def some_grade(weight: float) -> MatchedGrade:
    rng = np.random.default_rng(1)
    matrix, bias, polynomial = (torch.from_numpy(rng.normal(0, 0.3, shape)) for shape in ((3, 3), 3, (13, 3)))
    return MatchedGrade(weight, matrix + torch.eye(3), bias, polynomial)


def some_pixels(height: int, width: int, kind: type, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind is np.float32:
        return rng.random((height, width, 3), np.float32)
    return rng.integers(0, np.iinfo(kind).max, (height, width, 3), kind, endpoint=True)


def sliced(slicer: Slicer, pixels: np.ndarray, *, compiled: bool) -> np.ndarray:
    out = np.empty_like(pixels)
    slicer.strip(pixels, out, 0, CPU, compiled)
    return out


def plainly(grid: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Pixel by pixel, in float64."""
    out = np.zeros(pixels.shape)
    for index in np.ndindex(pixels.shape[:2]):
        colour = pixels[index].astype(np.float64) / 255
        places = [(i + 0.5) / n * (k - 1) for i, n, k in zip(index, pixels.shape[:2], grid.shape[:2], strict=True)]
        places.append(float(colour @ REC_601) * (grid.shape[2] - 1))
        nodes = [min(int(p), k - 2) for p, k in zip(places, grid.shape[:3], strict=True)]
        total = np.zeros(12)
        for corner in np.ndindex(2, 2, 2):
            weight = np.prod([p - n if c else 1 - p + n for p, n, c in zip(places, nodes, corner, strict=True)])
            total += weight * grid[tuple(n + c for n, c in zip(nodes, corner, strict=True))]
        out[index] = np.append(colour, 1) @ total.reshape(4, 3)
    return out.clip(0, 1) * 255


@pytest.mark.parametrize("compiled", [False, True])
def test_each_pixel_takes_the_map_between_its_eight_neighbours(compiled):
    pixels = some_pixels(9, 13, np.uint8)
    result = sliced(Slicer(some_grid(0), (9, 13)), pixels, compiled=compiled)
    assert np.abs(result - plainly(some_grid(0).numpy().astype(np.float64), pixels)).max() < 0.51


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_the_kernel_and_tensors_give_the_same_bytes(kind, weight):
    slicer = Slicer(some_grid(2), (61, 83), some_grade(weight), 0.7)
    pixels = some_pixels(61, 83, kind)
    assert np.array_equal(sliced(slicer, pixels, compiled=True), sliced(slicer, pixels, compiled=False))


@pytest.mark.parametrize("value", [-1e6, -2.0, -0.3, 1.5, 1e6])
def test_floats_beyond_black_and_white_take_the_nearest_maps(value):
    pixels = some_pixels(19, 33, np.float32)
    pixels[3:9, 5:] = value
    slicer = Slicer(some_grid(2), (19, 33))
    result = sliced(slicer, pixels, compiled=True)
    assert np.array_equal(result, sliced(slicer, pixels, compiled=False))
    assert result.min() >= 0
    assert result.max() <= 1


@given(SIDES, SIDES, st.sampled_from([np.uint8, np.uint16]), st.integers(0, 99), st.booleans())
@settings(max_examples=25, deadline=None)
def test_the_identity_changes_nothing_to_the_bit(height, width, kind, seed, compiled):
    pixels = some_pixels(height, width, kind, seed)
    assert np.array_equal(sliced(Slicer(IDENTITY.grid, (height, width)), pixels, compiled=compiled), pixels)
    assert np.array_equal(IDENTITY.apply(pixels), pixels)


@given(SIDES, SIDES, st.integers(1, 69))
@settings(max_examples=20, deadline=None)
def test_a_photo_cut_into_strips_comes_out_as_the_whole(height, width, first):
    slicer, pixels = Slicer(some_grid(3), (height, width)), some_pixels(height, width, np.uint8)
    whole, out = sliced(slicer, pixels, compiled=True), np.empty_like(pixels)
    for start, stop in ((0, min(first, height)), (min(first, height), height)):
        slicer.strip(pixels[start:stop], out[start:stop], start, CPU, compiled=start == 0)
    assert np.array_equal(out, whole)


@pytest.mark.parametrize("pixels_from", [0, 1 << 40])
def test_the_number_of_threads_changes_nothing(monkeypatch, pixels_from):
    monkeypatch.setattr(slicing, "has_kernel", lambda pixels: pixels >= pixels_from)
    monkeypatch.setattr(slicing, "STRIP_PIXELS", 1000)
    look, photo = Look(some_grid(4), some_grade(0.5)), np.asarray(photograph(0, 300, 200))
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append(look.apply(photo))
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(*results)


def test_a_photo_may_be_written_over():
    look, photo = Look(some_grid(5), some_grade(0.5)), some_pixels(50, 40, np.uint8)
    wanted = look.apply(photo)
    assert look.apply(photo, out=photo) is photo
    assert np.array_equal(photo, wanted)


def test_sixteen_bits_keep_a_ramp_that_eight_would_break_into_bands():
    ramp = np.repeat(np.linspace(20_000, 21_000, 1001).astype(np.uint16)[None, :, None], 3, 2)
    result = Look(0.8 * IDENTITY.grid).apply(ramp)
    assert len(np.unique(result)) > 700
    assert np.abs(result - 0.8 * ramp).max() <= 1


@pytest.mark.parametrize("compiled", [False, True])
@given(seed=st.integers(0, 1 << 32), height=SIDES, width=SIDES, nodes=st.integers(1, 7))
@settings(max_examples=25, deadline=None)
def test_one_function_of_colour_gives_a_colour_the_same_everywhere_to_the_bit(compiled, seed, height, width, nodes):
    grid = some_grid(seed, (1, 1, nodes))
    assert not Look(grid).knows_place
    colours = some_pixels(1, 8, np.float32, seed)[0]
    numbers = np.random.default_rng(seed).integers(0, 8, (height, width))
    result = sliced(Slicer(grid, (height, width)), colours[numbers], compiled=compiled)
    for number in range(8):
        assert len(np.unique(result[numbers == number], axis=0)) <= 1
