"""What the engine does on a GPU, as far as a CPU can show it."""

import pytest
import torch

from pcakd.errors import UsageError
from pcakd.stylize import engine
from pcakd.stylize.device import pick_device
from pcakd.stylize.engine import rows, run
from pcakd.stylize.engine.precision import full_float32
from pcakd.stylize.style import Style
from tests.models import random_checkpoint

FP32 = engine.EngineSettings(precision="fp32")
STAGES = [
    (rows.PhotoRows, "rows"),
    (rows.Convolution, "rows"),
    (rows.Upsample, "rows"),
    (rows.Stored, "__init__"),
    (rows.Stored, "write"),
    (run.Network, "decode_block"),
    (run._Run, "compute"),
]
"""Reading the photo, encoding, decoding, storing features, building a block, gathering statistics."""


@pytest.fixture(scope="module")
def student():
    return random_checkpoint("vgg").student


@pytest.fixture(scope="module")
def photo():
    return torch.randint(0, 256, (48, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def style(student, photo):
    return Style(engine.encode_statistics(student, photo.flip(0), settings=FP32), "")


@pytest.fixture(scope="module")
def whole(student, photo, style):
    return engine.transfer(student, photo, style, settings=FP32)


@pytest.fixture
def shares(monkeypatch) -> list[float]:
    """The share of the memory that each attempt takes."""
    found: list[float] = []
    begin = run._Run.__init__

    def noted(self, student, photo, settings, share, *more):
        found.append(share)
        begin(self, student, photo, settings, share, *more)

    monkeypatch.setattr(run._Run, "__init__", noted)
    return found


@pytest.mark.parametrize("features", [None, engine.SharedFeatures], ids=["alone", "shared"])
@pytest.mark.parametrize(("owner", "name"), STAGES, ids=lambda part: getattr(part, "__name__", part))
def test_memory_that_runs_out_at_any_stage_gives_the_same_picture_from_a_quarter(
    student, photo, style, whole, shares, monkeypatch, owner, name, features
):
    real, left = getattr(owner, name), [True]

    def scarce(*arguments, **keywords):
        if left and left.pop():
            raise torch.OutOfMemoryError
        return real(*arguments, **keywords)

    monkeypatch.setattr(owner, name, scarce)
    result = engine.transfer(student, photo, style, settings=FP32, shared=features and features())
    assert shares == [1.0, 0.25]
    torch.testing.assert_close(result, whole, atol=1e-5, rtol=0)


def test_memory_that_runs_out_at_any_size_is_told_after_four_attempts(student, photo, shares, monkeypatch):
    def scarce(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(rows.Convolution, "rows", scarce)
    with pytest.raises(torch.OutOfMemoryError):
        engine.encode_statistics(student, photo, settings=FP32)
    assert shares == [1.0, 1 / 4, 1 / 16, 1 / 64]


@pytest.mark.parametrize(
    ("limit", "free", "budget"),
    [(None, 8 << 30, 6 << 30), (4 << 30, 8 << 30, 3 << 30), (16 << 30, 8 << 30, 6 << 30)],
    ids=["all that is free", "a limit below it", "a limit above it"],
)
def test_features_on_a_gpu_take_three_quarters_of_what_is_free_or_of_the_limit(
    student, photo, monkeypatch, limit, free, budget
):
    begun = run._Run(student, photo, FP32, 1.0)
    begun.device = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 80 << 30))
    assert begun._budget(engine.EngineSettings(memory_limit=limit)) == budget


def test_a_gpu_is_taken_where_there_is_one_and_refused_in_words_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [pick_device(choice).type for choice in ("auto", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [pick_device(choice).type for choice in ("auto", "cpu")] == ["cpu", "cpu"]
    with pytest.raises(UsageError, match="--device cpu"):
        pick_device("cuda")


def test_float32_on_a_gpu_is_not_tf32_and_cudnn_stays_on(student, photo, monkeypatch):
    seen = []
    real = rows.Convolution.rows

    def noted(self, start, stop):
        seen.append((torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32))
        return real(self, start, stop)

    before = (torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32)
    monkeypatch.setattr(rows.Convolution, "rows", noted)
    engine.encode_statistics(student, photo, settings=FP32)
    assert set(seen) == {(True, False)}
    with full_float32():
        assert (torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32) == (True, False)
    assert (torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32) == before
