import dataclasses
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pcakd.distillation import Diverged, Trainer, Workers
from pcakd.errors import CheckpointError, UsageError
from pcakd.student.network import Student
from tests.command import ROOT
from tests.pcakd.distillation import parts


def make(backbone="vgg", **changes):
    teacher, data = parts.teacher(backbone), parts.photos()
    recipe = parts.recipe(backbone=backbone, **changes)
    return Trainer(recipe, teacher, parts.bases(teacher, data), data, parts.photos(3, seed=9))


def weights(trainer):
    return torch.cat([p.flatten() for p in trainer.student().parameters()])


@pytest.mark.parametrize("backbone", [pytest.param("vgg", marks=pytest.mark.slow), "mobilenet"])
def test_training_lowers_the_loss_and_gives_a_plain_student(backbone):
    trainer = make(backbone, pair_steps=(0, 0, 0, 0), joint_steps=40)
    trainer.run()
    totals = [row["total"] for row in trainer.history]
    assert sum(totals[-10:]) < sum(totals[:10])
    assert type(trainer.student()) is Student
    assert torch.isfinite(weights(trainer)).all()


def test_a_run_resumed_at_any_step_goes_on_as_if_never_cut():
    whole = make()
    whole.run()
    for cut in (2, 3, 7):
        first = make()
        first.run(until=cut)
        second = make()
        second.load_state(first.state())
        second.run()
        assert [row["total"] for row in second.history] == pytest.approx(
            [row["total"] for row in whole.history], abs=1e-6
        )
        torch.testing.assert_close(weights(second), weights(whole), atol=1e-6, rtol=0)


def test_only_the_block_pair_of_the_stage_moves():
    trainer = make(pair_steps=(0, 4, 0, 0), joint_steps=0, ema=0.0)
    trainer.start()
    before = trainer.student().state_dict()
    trainer.run()
    after = trainer.student().state_dict()
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert moved
    assert all(".block1." in name for name in moved)


def test_every_loss_of_the_paper_is_there_and_weighs_what_the_recipe_says():
    trainer = make(perceptual=0.5, pair_steps=(0, 1, 0, 0), joint_steps=0)
    trainer.run()
    row = trainer.history[0]
    wanted = sum(
        weight * row[name]
        for name, weight in {"distill": 1, "image": 100, "feature": 0.1, "perceptual": 0.5, "graded": 100}.items()
    )
    assert row["total"] == pytest.approx(wanted, rel=1e-4)


def test_pairs_of_photos_train_all_four_levels_in_every_so_manieth_step():
    changes = {"style_photos": 2, "style_every": 3, "style_crop": 32, "pair_steps": (0, 0, 0, 2), "joint_steps": 5}
    trainer = make(style=2.0, structure=0.5, **changes)
    trainer.run()
    assert [row["step"] for row in trainer.history if "style" in row] == [1, 4, 7]
    row = trainer.history[3]
    named = {"distill": 1, "image": 100, "feature": 0.1, "graded": 100, "style": 2.0, "structure": 0.5}
    assert row["total"] == pytest.approx(sum(weight * row[name] for name, weight in named.items()), rel=1e-4)
    resumed, cut = make(style=2.0, structure=0.5, **changes), make(style=2.0, structure=0.5, **changes)
    cut.run(until=4)
    resumed.load_state(cut.state())
    resumed.run()
    torch.testing.assert_close(weights(resumed), weights(trainer), atol=1e-6, rtol=0)


def test_training_on_pairs_lowers_their_style_loss():
    trainer = make(style_photos=1, style_crop=32, style=5.0, structure=0.0, pair_steps=(0, 0, 0, 0), joint_steps=40)
    trainer.run()
    losses = [row["style"] for row in trainer.history]
    assert sum(losses[-10:]) < sum(losses[:10])


def test_the_judge_s_features_are_those_that_styles_are_compared_in():
    changes = {"style_photos": 1, "style_crop": 32, "pair_steps": (0, 0, 0, 0), "joint_steps": 1}
    alone = make(**changes)
    other = make("vgg", **changes)
    judge = parts.teacher("mobilenet")
    judged = Trainer(other.recipe, other.objective.teacher, other.bases, parts.photos(), judge=judge)
    for trainer in (alone, judged):
        trainer.run()
    assert judged.history[0]["structure"] == pytest.approx(alone.history[0]["structure"], rel=1e-5)
    assert judged.history[0]["style"] != pytest.approx(alone.history[0]["style"], rel=1e-3)


def test_the_losses_of_two_workers_average_to_those_of_one_though_their_pairs_are_uneven():
    changes = {"style_photos": 3, "style_crop": 32, "pair_steps": (0, 0, 0, 0), "joint_steps": 4}
    whole = make(**changes)
    whole.start()
    found = []
    for workers in (Workers(), Workers(rank=0, size=2), Workers(rank=1, size=2)):
        trainer = Trainer(whole.recipe, whole.objective.teacher, whole.bases, whole.crops.photos, workers=workers)
        trainer.load_state(whole.state())
        trainer.objective.train_levels((0, 1, 2, 3))
        found.append(
            {name: float(loss.detach()) for name, loss in trainer.objective(trainer.batches[trainer.step]).items()}
        )
    one, first, second = found
    for name in ("style", "structure", "graded", "image", "total"):
        assert (first[name] + second[name]) / 2 == pytest.approx(one[name], rel=1e-4), name


def test_a_state_from_before_pairs_were_known_goes_on():
    trainer = make()
    trainer.run(until=2)
    record = torch.load(io.BytesIO(trainer.state()), weights_only=True)
    assert "style" not in record["recipe"]
    del record["cpu_seconds"]
    buffer = io.BytesIO()
    torch.save(record, buffer)
    later = make()
    later.load_state(buffer.getvalue())
    assert later.step == 2


def test_a_loss_that_is_not_a_number_ends_the_run_with_the_last_good_state(monkeypatch):
    trainer = make()
    good = []

    def spoil(report):
        if report.step == 4:
            good.append(weights(trainer))
        if report.step == 6:
            with torch.no_grad():
                trainer.objective.student.decoder["block0"].conv0.shift.mul_(float("nan"))

    with pytest.raises(Diverged, match="went back to step 4"):
        trainer.run(on_step=spoil)
    assert trainer.step == 4
    torch.testing.assert_close(weights(trainer), good[0])


def test_a_state_of_another_recipe_or_a_damaged_one_is_refused():
    trainer = make()
    trainer.start()
    state = trainer.state()
    with pytest.raises(CheckpointError, match="another recipe"):
        make(seed=1).load_state(state)
    with pytest.raises(CheckpointError, match="cannot be read"):
        trainer.load_state(state[:100])


def test_bases_of_another_teacher_are_refused():
    teacher, data = parts.teacher(), parts.photos()
    bases = parts.bases(teacher, data)
    wrong = dataclasses.replace(bases, bases=[torch.zeros(5, k) for k in parts.CHANNELS])
    with pytest.raises(UsageError, match="eigenbases"):
        Trainer(parts.recipe(), teacher, wrong, data)
    with pytest.raises(UsageError, match="mobilenet"):
        Trainer(parts.recipe(backbone="mobilenet"), teacher, bases, data)


KILLED = """
import sys, time
from pathlib import Path
from pcakd.files import write_atomic
from tests.pcakd.distillation.test_trainer import make
trainer, place = make(), Path(sys.argv[1])
if place.exists():
    trainer.load_state(place.read_bytes())
trainer.run(
    on_state=lambda step: write_atomic(place, trainer.state()),
    on_step=lambda report: (print(report.step, flush=True), time.sleep(float(sys.argv[2]))),
)
"""


@pytest.mark.slow
def test_a_run_killed_in_the_middle_of_a_block_and_resumed_ends_where_the_whole_run_ends(tmp_path):
    whole = make()
    whole.run()
    state = tmp_path / "state.pt"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(state), "0.2"], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 6:  # two steps after the state of step 4, in the second block pair's phase
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(state), "0"], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[0] == "5"
    ended = make()
    ended.load_state(Path(state).read_bytes())
    assert [row["total"] for row in ended.history] == pytest.approx([row["total"] for row in whole.history], abs=1e-6)
    torch.testing.assert_close(weights(ended), weights(whole), atol=1e-6, rtol=0)
