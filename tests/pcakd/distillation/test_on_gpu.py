"""A training step as a GPU would be given it, on a machine without one: tensors without data that say they are there.

What is not on the device, or makes the host wait for it, shows; what is computed does not.
"""

import traceback
from contextlib import closing, nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.gpu_speed import random_teacher
from pcakd.distillation import batches, captured
from pcakd.distillation.objective import Batch, Objective
from pcakd.distillation.recipe import load_recipe
from pcakd.distillation.whitening import whiten
from pcakd.distillation.workers import Workers
from pcakd.student.network import Student, StudentSpec
from tests.pcakd.distillation import parts


class Waits(TorchDispatchMode):
    """Notes where values are asked for by the host, and where tensors are brought to the device."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []
        self.calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        name = str(func)
        moved = name == "aten._to_copy.default" and args[0].device.type != "cuda"
        if moved or name == "aten._local_scalar_dense.default":
            frame = next(
                f for f in reversed(traceback.extract_stack()) if "pcakd" in f.filename and "tests" not in f.filename
            )
            self.places.append(f"{name} in {frame.name}")
        return func(*args, **(kwargs or {}))


@pytest.fixture
def parameters_may_be_without_data():
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    yield
    torch.__future__.set_overwrite_module_params_on_conversion(before)


@pytest.mark.parametrize("name", ["vgg-gpu", pytest.param("mobilenet-gpu", marks=pytest.mark.slow)])
def test_a_step_s_losses_are_computed_on_the_gpu_and_never_waited_for(name, parameters_may_be_without_data):
    recipe = replace(load_recipe(name), batch=4, graded_photos=2, teacher_photos=2, style_photos=2)
    spec = StudentSpec.default(recipe.backbone)
    student, teacher, judge = Student(spec), random_teacher(recipe.backbone), random_teacher("vgg")
    whiten(student, torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)), 1e-3)
    bases = [torch.eye(wide, narrow) for wide, narrow in zip(teacher.channels, spec.channels, strict=True)]
    with FakeTensorMode(allow_non_fake_inputs=True):
        objective = Objective(student, teacher, bases, recipe, judge)
        for module in (objective, teacher, judge):
            module.to("cuda")
        photos, few = torch.rand(4, 3, 64, 64, device="cuda"), torch.rand(2, 3, 64, 64, device="cuda")
        batch = Batch(photos=photos, graded=few, teacher_photos=2, contents=few, styles=few, pairs=2)
        for turn in range(2):
            with Waits() as waits:
                losses = objective(batch)
            assert {loss.device.type for loss in losses.values()} == {"cuda"}
            assert waits.calls > 1000
            # Constants are brought there once.
            once = {"aten._to_copy.default in _box", "aten._to_copy.default in _luma"}
            assert set(waits.places) <= (set() if turn else once)


@pytest.fixture
def one_stream(monkeypatch):
    """Streams of a GPU, on a machine without one."""
    stream = SimpleNamespace(wait_stream=lambda other: None)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())


def a_batch(photos: int) -> Batch:
    return Batch(photos=torch.zeros(photos, 3, 4, 4), graded=torch.zeros(0, 3, 4, 4), teacher_photos=1)


def test_a_step_is_captured_once_it_is_warm_for_each_shape_of_batch(one_stream, monkeypatch):
    done: list[str] = []

    class Graph:
        def __init__(self, work, batch):
            done.append("captured")

        def __call__(self, batch):
            done.append(f"replayed {len(batch.photos)}")
            return {}

    monkeypatch.setattr(captured, "_Captured", Graph)
    steps = captured.CapturedSteps(lambda batch: done.append(f"done {len(batch.photos)}") or {})
    for photos in (2, 3, 2, 2, 2, 2, 3):
        steps(a_batch(photos))
    assert done == ["done 2", "done 3", "done 2", "done 2", "captured", "replayed 2", "replayed 2", "done 3"]


def test_a_step_that_cannot_be_captured_is_done_as_it_is_and_told_once(one_stream, monkeypatch, caplog):
    def refuse(work, batch):
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(captured, "_Captured", refuse)
    done: list[int] = []
    steps = captured.CapturedSteps(lambda batch: done.append(len(batch.photos)) or {})
    for photos in (2, 2, 2, 2, 2, 3, 3, 3, 3):
        steps(a_batch(photos))
    assert len(done) == 9
    [line] = caplog.messages
    assert line == "training goes on without CUDA graphs: operation not permitted when stream is capturing"


def test_what_is_drawn_ahead_is_what_is_drawn_in_time_and_no_step_is_drawn_beyond_the_last(monkeypatch):
    monkeypatch.setattr(batches.Drawn, "pinned", lambda drawn: drawn)  # a machine without a GPU has no such memory
    recipe = parts.recipe(pair_steps=(0, 0, 0, 0), joint_steps=6, graded_photos=1, style_photos=2, style_every=2)
    found = batches.Batches(recipe, parts.photos(5), Workers(), torch.device("cpu"))
    drawn: list[int] = []
    in_time = found.draw
    monkeypatch.setattr(found, "draw", lambda step: drawn.append(step) or in_time(step))
    with closing(found):
        for step in (0, 1, 4, 5):  # a resumed run begins later
            ahead = found._ahead(step)
            for ours, theirs in zip(ahead, in_time(step), strict=True):
                assert torch.equal(ours, theirs) if isinstance(ours, torch.Tensor) else ours == theirs
    assert sorted(drawn) == list(range(6))
