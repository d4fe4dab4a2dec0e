"""`benchmarks.ablation`: variants of one recipe, several at once, each as if it were alone."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from benchmarks.ablation import VARIANTS, Pairs, Shared, Trial, Variant, rows
from benchmarks.fitted import summed
from tests.pcakd.distillation import parts


@pytest.fixture(scope="module")
def trial() -> Trial:
    teacher, data = parts.teacher(), Shared(parts.photos())
    base = parts.recipe(pair_steps=(0, 0, 0, 0), joint_steps=2, validate_every=2)
    return Trial(
        base=base,
        channels=parts.CHANNELS,
        steps=2,
        teacher=teacher,
        judge=teacher,
        moments=summed(teacher, data, 4),
        photos=data,
        held_out=data,
        pairs=Pairs(data, 2, teacher),
        device=torch.device("cpu"),
    )


CHOSEN = [variant for variant in VARIANTS if variant.name in ("the recipe", "half the widths", "without residuals")]


def test_variants_trained_at_once_come_out_as_one_by_one(trial):
    assert len(CHOSEN) == 3
    alone = [trial.row(variant) for variant in CHOSEN]
    steps: list[int] = []
    assert sorted(rows(replace(trial, advance=steps.append), CHOSEN, at_once=3)) == sorted(alone)
    assert sum(steps) == 3 * trial.steps
    assert len({row.split("|", 2)[2] for row in alone}) == 3  # each did change something


def test_what_changes_all_students_of_the_process_is_trained_when_nothing_else_is(trial):
    working: list[str] = []

    @contextmanager
    def changed():
        working.append("changed")
        yield
        working.append("as before")

    ordinary = Variant("ordinary", lambda base, steps: working.append("ordinary") or {})
    special = Variant("special", network=changed)
    list(rows(trial, [special, ordinary, replace(ordinary, name="another")], at_once=2))
    assert working == ["ordinary", "ordinary", "changed", "as before"]


def test_a_variant_whose_loss_runs_away_is_a_row_that_says_so(trial):
    steep = Variant("steep", lambda base, steps: {"encoder_rate": 1e30, "decoder_rate": 1e30, "clip_norm": 0.0})
    row = trial.row(steep)
    assert row.startswith("| steep | the loss ran away at step ")
