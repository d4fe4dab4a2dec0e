import pytest
import torch

from pcakd.distillation.batches import Batches
from pcakd.distillation.grading import random_grade
from pcakd.distillation.objective import Batch, Objective
from pcakd.distillation.workers import Workers
from pcakd.student.network import Student, StudentSpec
from tests.pcakd.distillation import parts


def test_grades_stay_in_range_differ_by_photo_and_repeat_with_the_seed():
    photos = torch.rand(1, 3, 16, 16).repeat(3, 1, 1, 1)
    graded = random_grade(photos, torch.Generator().manual_seed(1))
    assert graded.min() >= 0
    assert graded.max() <= 1
    assert not torch.allclose(graded[0], graded[1])
    torch.testing.assert_close(graded, random_grade(photos, torch.Generator().manual_seed(1)))


@pytest.fixture(scope="module")
def objective() -> Objective:
    teacher, data = parts.teacher(), parts.photos()
    torch.manual_seed(0)
    student = Student(StudentSpec(backbone="vgg", channels=parts.CHANNELS))
    return Objective(student, teacher, parts.bases(teacher, data).bases, parts.recipe(style_photos=2))


def pictures(count: int, side: int = 32) -> torch.Tensor:
    data = parts.photos(count, side=side, seed=count + side).photos
    return torch.stack([torch.from_numpy(photo).permute(2, 0, 1).float() / 255 for photo in data])


def batch(**changes) -> Batch:
    photos = pictures(4)
    return Batch(photos=photos, graded=photos[3:] * 0.7, teacher_photos=2)._replace(**changes)


@torch.no_grad()
@pytest.mark.parametrize("side", [32, 48])
def test_pairs_and_photos_do_not_change_each_others_losses_in_one_pass_or_two(objective, side):
    contents, styles = pictures(2, side), pictures(3, side)[1:]
    alone = objective(batch())
    both = objective(batch(contents=contents, styles=styles, pairs=2))
    others = objective(batch(photos=pictures(5)[1:], contents=contents, styles=styles, pairs=2))
    for name in ("image", "graded", "feature", "distill"):
        torch.testing.assert_close(both[name], alone[name], rtol=1e-4, atol=1e-6)
    for name in ("style", "structure"):
        torch.testing.assert_close(both[name], others[name], rtol=1e-3, atol=1e-5)
        assert both[name] > 0
    assert others["image"] != both["image"]


@torch.no_grad()
def test_a_look_taken_from_elsewhere_is_held_against_the_photos_own_grade(objective):
    given = batch()
    own = objective(given._replace(looks=given.graded.clone()))
    elsewhere = objective(given._replace(looks=pictures(6)[:1]))
    for name, loss in objective(given).items():
        torch.testing.assert_close(own[name], loss)
    assert elsewhere["graded"] != own["graded"]
    assert elsewhere["image"] == own["image"]


def test_the_last_graded_photos_take_their_grade_from_the_other_end_of_their_photo():
    data, cpu = parts.photos(6, side=80), torch.device("cpu")
    recipe = parts.recipe(graded_photos=3, across_photos=2)
    drawn = Batches(recipe, data, Workers(), cpu)
    whole, steps = drawn[1], drawn.draw(1)
    assert whole.looks is not None
    torch.testing.assert_close(whole.looks[0], whole.graded[0])
    assert not torch.allclose(whole.looks[1:], whole.graded[1:])
    assert torch.equal(steps.photos[2:], drawn.crops.ends8(1, [2, 3], 4)[0])
    assert torch.equal(steps.ends, drawn.crops.ends8(1, [2, 3], 4)[1])
    # Two workers have together what one has.
    first, second = (Batches(recipe, data, Workers(rank=rank, size=2), cpu)[1] for rank in (0, 1))
    for name in ("photos", "graded", "looks"):
        mine = [getattr(part, name) for part in (first, second)]
        rows = torch.cat([mine[0], mine[1]])
        want = getattr(whole, name)
        assert sorted(float(row.sum()) for row in rows) == pytest.approx(sorted(float(row.sum()) for row in want))


def test_without_such_photos_a_step_is_what_it_always_was():
    data, cpu = parts.photos(6, side=80), torch.device("cpu")
    drawn = Batches(parts.recipe(graded_photos=3), data, Workers(), cpu)
    assert drawn[1].looks is None
    assert torch.equal(drawn.draw(1).photos, drawn.crops.batch8(1, range(4), 4))


@torch.no_grad()
@pytest.mark.parametrize(("fast", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_bf16_counts_where_the_processor_multiplies_it(monkeypatch, fast, dtype):
    monkeypatch.setattr("pcakd.distillation.objective.fast_bfloat16", lambda device: fast)
    teacher = parts.teacher()
    student = Student(StudentSpec(backbone="vgg", channels=parts.CHANNELS))
    bases = parts.bases(teacher, parts.photos()).bases
    objective = Objective(student, teacher, bases, parts.recipe(style_photos=2, precision="bf16"))
    made: set[torch.dtype] = set()
    for network in (objective.student, objective._judge[0]):
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.register_forward_hook(lambda layer, x, result: made.add(result.dtype))
    contents, styles = pictures(2), pictures(3)[1:]
    losses = objective(batch(contents=contents, styles=styles, pairs=2))
    assert made == {dtype}
    assert all(loss.dtype == torch.float32 and torch.isfinite(loss) for loss in losses.values())
