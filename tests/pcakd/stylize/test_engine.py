import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcakd.errors import UsageError
from pcakd.stylize import engine
from pcakd.stylize.engine import memory, run
from pcakd.stylize.engine.moments import CHUNK, moments, sum_moments
from pcakd.stylize.masks import read_mask
from pcakd.stylize.strips import cut, map_strips
from pcakd.stylize.style import Style
from pcakd.stylize.transforms import TRANSFORMS
from tests.corpus import photograph
from tests.models import random_checkpoint
from tests.reference import plain
from tests.reference.statistics import feature_statistics

CPU = torch.device("cpu")
FP32 = engine.EngineSettings(precision="fp32")


@pytest.fixture(scope="module", params=["vgg", "mobilenet"])
def student(request):
    return random_checkpoint(request.param).student


def pixels(seed: int, height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(np.asarray(photograph(seed, height, width)).copy())


@torch.inference_mode()
def reference(student, content, style_photo, **options) -> torch.Tensor:
    style = Style(plain.encode_statistics(student, plain.photo_tensor(style_photo, CPU)), "")
    return plain.transfer(student, plain.photo_tensor(content, CPU), style, **options)


def style_of(student, photo) -> Style:
    return Style(engine.encode_statistics(student, photo, settings=FP32), "")


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_fast_path_equals_the_plain_one(student, transform):
    content, photo = pixels(1, 150, 203), pixels(0, 120, 160)
    fast = engine.transfer(student, content, style_of(student, photo), transform=transform, settings=FP32)
    expected = reference(student, content, photo, transform=transform)
    torch.testing.assert_close(fast, expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize("statistics_first", [False, True])
def test_what_one_call_encoded_serves_the_next_ones(student, monkeypatch, statistics_first):
    content, style = pixels(1, 150, 203), style_of(student, pixels(0, 120, 160))
    shared = engine.SharedFeatures()
    calls = [
        lambda **more: engine.transfer(student, content, style, settings=FP32, **more),
        lambda **more: engine.encode_statistics(student, content, settings=FP32, **more),
        lambda **more: engine.encode_statistics(student, content, torch.rand(1, 1, 150, 203).round(), **more),
    ]
    calls = calls[::-1] if statistics_first else calls
    for number, call in enumerate(calls):
        torch.manual_seed(number)
        expected = call()
        with monkeypatch.context() as patch:
            if number:
                patch.setattr(run._Run, "compute", _only_statistics)
            torch.manual_seed(number)
            found = call(shared=shared)
        torch.testing.assert_close(_tensors(found), _tensors(expected), atol=2e-4, rtol=1e-4)


def _only_statistics(self, source, *, compute=run._Run.compute, statistics=True, **more):
    assert statistics, "nothing is encoded again"
    return compute(self, source, **more)


def _tensors(found) -> list[torch.Tensor]:
    return [found] if isinstance(found, torch.Tensor) else [part for level in found for part in level]


@given(
    st.integers(17, 140),
    st.integers(17, 140),
    st.sampled_from([1 << 10, 1 << 14, 1 << 16]),
    st.sampled_from([0, 60_000, 400_000]),
    st.sampled_from(["vgg", "mobilenet"]),
)
@settings(max_examples=12, deadline=None)
def test_strips_of_any_height_and_any_storage_give_the_same_picture(height, width, strip_bytes, budget, backbone):
    student = random_checkpoint(backbone).student
    content, photo = pixels(1, height, width), pixels(0, 96, 128)
    whole = reference(student, content, photo)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "STRIP_BYTES", strip_bytes)
        patch.setattr(run._Run, "_budget", lambda *_: budget)
        strips = engine.transfer(student, content, style_of(student, photo), settings=FP32)
    torch.testing.assert_close(strips, whole, atol=1e-4, rtol=0)


def test_masked_regions_equal_the_plain_path(student):
    content, photo = pixels(1, 90, 117), pixels(0, 80, 96)
    half = np.zeros((90, 117), np.uint8)
    half[:, :50], half[:20, 60:] = 255, 100
    mask = read_mask(half)
    tensor = plain.photo_tensor(photo, CPU)
    weight = torch.rand(1, 1, 80, 96)
    with torch.inference_mode():
        regions = {"255,255,255": Style(plain.encode_statistics(student, tensor, weight), "")}
    fast = {"255,255,255": Style(engine.encode_statistics(student, photo, weight, settings=FP32), "")}
    expected = reference(student, content, photo, content_mask=mask, region_styles=regions)
    style = style_of(student, photo)
    result = engine.transfer(student, content, style, content_mask=mask, region_styles=fast, settings=FP32)
    torch.testing.assert_close(result, expected, atol=2e-4, rtol=0)


def test_strength_between_zero_and_one_equals_the_plain_path(student):
    content, photo = pixels(1, 64, 90), pixels(0, 64, 64)
    for strength in (0.0, 0.3):
        fast = engine.transfer(student, content, style_of(student, photo), strength=strength, settings=FP32)
        torch.testing.assert_close(fast, reference(student, content, photo, strength=strength), atol=2e-4, rtol=0)


def test_reconstruction_is_encode_and_decode(student):
    content = pixels(1, 64, 96)
    tensor = plain.photo_tensor(content, CPU)
    torch.testing.assert_close(engine.reconstruct(student, tensor), student(tensor).clamp(0, 1), atol=1e-5, rtol=0)


def test_pixels_are_the_float_result_truncated_or_rounded(student):
    content, style = pixels(1, 70, 90), style_of(student, pixels(0, 64, 64))
    exact = engine.transfer(student, content, style, settings=FP32)[0].permute(1, 2, 0) * 255
    assert torch.equal(engine.transfer_pixels(student, content, style, settings=FP32), exact.to(torch.uint8))
    rounded = engine.transfer_pixels(student, content, style, truncate=False, settings=FP32)
    assert torch.equal(rounded, exact.round().to(torch.uint8))


def test_the_result_does_not_depend_on_the_number_of_threads(student):
    content, style = pixels(1, 200, 300), style_of(student, pixels(0, 64, 64))
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(engine.transfer(student, content, style, settings=FP32))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*results)


@given(channels=st.integers(1, 8), height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_statistics_are_those_of_numpy(channels, height, width, seed):
    x = 100 + 10 * torch.randn(1, channels, height, width, generator=torch.Generator().manual_seed(seed))
    statistics = moments(x).statistics()
    flat = x[0].flatten(1).double()
    torch.testing.assert_close(statistics.mean, flat.mean(1), atol=1e-4, rtol=0)
    expected = torch.from_numpy(np.cov(flat.numpy(), bias=True)).reshape(channels, channels)
    torch.testing.assert_close(statistics.covariance, expected, atol=1e-4, rtol=1e-4)


def test_statistics_do_not_depend_on_how_many_chunks_there_are():
    x = 50 + torch.randn(1, 3, 300, 700, generator=torch.Generator().manual_seed(0))
    assert x[0, 0].numel() > 3 * CHUNK
    statistics = moments(x).statistics()
    flat = x[0].flatten(1).double()
    torch.testing.assert_close(statistics.covariance, torch.cov(flat, correction=0), atol=1e-6, rtol=1e-6)


def test_weighted_statistics_are_those_of_the_region_alone():
    x = torch.randn(1, 4, 20, 30, generator=torch.Generator().manual_seed(1))
    weight = torch.zeros(1, 1, 20, 30)
    weight[..., 5:15, 7:21] = 1
    region = moments(x, weight).statistics()
    alone = moments(x[..., 5:15, 7:21]).statistics()
    torch.testing.assert_close(region.mean, alone.mean, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(region.covariance, alone.covariance, atol=1e-6, rtol=1e-6)


@given(st.integers(1, 3000), st.integers(0, 100), st.booleans())
@settings(max_examples=30, deadline=None)
def test_moments_of_parts_add_up_to_the_statistics_of_the_whole(count, seed, weighted):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(1, 5, 4, count, generator=generator) * 3 + 100
    weight = torch.rand(1, 1, 4, count, generator=generator) if weighted else None
    parts = [
        moments(
            x[..., part].contiguous(memory_format=torch.channels_last), weight if weight is None else weight[..., part]
        )
        for part in torch.arange(count).chunk(3)
    ]
    whole = feature_statistics(x.double(), weight)
    merged = sum_moments(parts).statistics()
    torch.testing.assert_close(merged.mean, whole.mean, atol=1e-4, rtol=0)
    torch.testing.assert_close(merged.covariance, whole.covariance, atol=1e-4, rtol=1e-4)


@given(st.integers(1, 500), st.integers(1, 600), st.integers(1, 5))
def test_strips_cover_every_row_once(height, rows, least):
    strips = cut(height, rows, least=least)
    assert [row for start, stop in strips for row in range(start, stop)] == list(range(height))
    assert len(strips) >= min(least, height)


def test_an_error_in_a_strip_reaches_the_caller():
    def fail(start: int, stop: int) -> None:
        raise ValueError(start)

    with pytest.raises(ValueError, match="0"):
        map_strips(fail, [(0, 1), (1, 2)], CPU)


def test_what_is_stored_fits_the_budget_and_the_dearest_to_compute_comes_first():
    sizes = dict.fromkeys(("l1", "l2", "l3", "x2", "x1", "x0"), 10)
    assert set(memory.choose_stored(sizes, -5).values()) == {0.0}
    assert memory.choose_stored(sizes, 10) == {"x2": 1.0, "x0": 0.0, "l1": 0.0, "l2": 0.0, "l3": 0.0, "x1": 0.0}
    assert memory.choose_stored(sizes, 15)["l3"] == 0.5
    assert memory.choose_stored(sizes, 30) | {"x0": 1.0} == dict.fromkeys(sizes, 1.0) | {"l1": 0.0}
    assert set(memory.choose_stored(sizes, 1000).values()) == {1.0}


@pytest.mark.parametrize("wrong", [{"precision": "fp8"}, {"memory_limit": 1 << 20}])
def test_settings_that_cannot_be_are_named(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong)).replace("_", " ")):
        engine.EngineSettings(**wrong)


def test_bfloat16_is_near_float32(student):
    content, photo = pixels(1, 128, 128), pixels(0, 64, 64)
    style = style_of(student, photo)
    exact = engine.transfer(student, content, style, settings=FP32)
    for precision in ("bf16", "auto"):
        near = engine.transfer(student, content, style, settings=engine.EngineSettings(precision=precision))
        assert (near - exact).abs().mean() < 0.02
