"""A training that goes on from a trained student."""

from dataclasses import replace

import pytest
import torch

from pcakd.distillation import Trainer
from pcakd.distillation.config import DistillConfig
from pcakd.distillation.job import prepare, run_here
from pcakd.drift.measures import aligned
from pcakd.errors import UsageError
from pcakd.student.checkpoint import load_checkpoint
from pcakd.student.network import Student, StudentSpec
from tests.pcakd.distillation import parts


def test_it_begins_with_the_students_weights_in_the_students_coordinates():
    teacher, data = parts.teacher(), parts.photos()
    bases = parts.bases(teacher, data)
    first = Trainer(parts.recipe(), teacher, bases, data, data)
    first.run()
    trained = first.student()
    # The same spans in other coordinates, as a fit of a grown dataset may give them.
    other = replace(bases, bases=[-basis.flip(1) for basis in bases.bases])
    losses = []
    for some in (other, replace(other, bases=aligned(other.bases, bases.bases))):
        trainer = Trainer(parts.recipe(), teacher, some, data, data, begin_with=trained)
        trainer.start()
        for name, weights in trained.state_dict().items():
            torch.testing.assert_close(trainer.student().state_dict()[name], weights, atol=1e-4, rtol=1e-3)
        losses.append(trainer.validation.measure(trainer.student())["distill.3"])
    assert losses[1] == pytest.approx(first.history[-1]["validation"]["distill.3"], rel=1e-2)
    assert losses[0] > 1.2 * losses[1], "without the turn the student speaks another language"


def test_a_student_of_other_widths_is_refused():
    teacher, data = parts.teacher(), parts.photos()
    stranger = Student(StudentSpec(backbone="vgg", channels=(3, 4, 5, 5)))
    with pytest.raises(UsageError, match="to begin with is vgg"):
        Trainer(parts.recipe(), teacher, parts.bases(teacher, data), data, begin_with=stranger)


def test_a_job_begun_with_a_student_says_so_on_its_card_and_takes_over_its_weights(tmp_path):
    parts.write_inputs(tmp_path)

    def distilled(name: str, **options):
        config = DistillConfig(
            shards=str(tmp_path / "photos"),
            eigenbases=str(tmp_path / "bases"),
            teacher=str(tmp_path / "teacher.safetensors"),
            recipe=str(tmp_path / "recipe.toml"),
            out=str(tmp_path / f"{name}.safetensors"),
            steps=2,
            device="cpu",
            **options,
        )
        run_here(prepare(config), lambda report: None)
        return load_checkpoint(tmp_path / f"{name}.safetensors")

    first = distilled("first")
    second = distilled("second", begin_with=str(tmp_path / "first.safetensors"))
    assert f"**Begun with**: the weights of `{tmp_path}/first.safetensors`" in (tmp_path / "second.md").read_text()
    assert "Begun with" not in (tmp_path / "first.md").read_text()
    for level, basis in first.eigenbases.items():
        torch.testing.assert_close(second.eigenbases[level], basis, atol=1e-5, rtol=0)
    assert second.metadata.origin.endswith("first.safetensors")
    with pytest.raises(UsageError, match="begin with another"):
        distilled("third", begin_with="vgg")
