"""A training step as a GPU would be given it, on a machine without one: tensors without data that say they are there.

What is not on the device, or makes the host wait for it, shows; what is computed does not.
"""

import traceback
from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.gpu_speed import random_teacher
from pcakd.distillation.objective import Batch, Objective
from pcakd.distillation.recipe import load_recipe
from pcakd.distillation.whitening import whiten
from pcakd.student.network import Student, StudentSpec


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
