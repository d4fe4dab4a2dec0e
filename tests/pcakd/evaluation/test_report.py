"""What an evaluation leaves behind."""

from pcakd.cli.evaluate import MEASURES
from pcakd.evaluation.evaluate import Row
from pcakd.evaluation.report import PAIRS_COLUMNS, worst_pairs

SCORES = {"a": (0.7, 12.0), "b": (0.9, 15.0), "c": (0.5, 9.0)}


def test_the_worst_pairs_are_those_of_the_one_method_whichever_way_its_measure_is_better():
    rows = [Row(name, "ours", {"ssim": ssim, "stray": stray}) for name, (ssim, stray) in SCORES.items()]
    rows += [Row(name, "theirs", {"ssim": 1 - ssim, "stray": -stray}) for name, (ssim, stray) in SCORES.items()]
    assert worst_pairs(rows, "ours", "ssim", 10) == ["c", "a", "b"]
    assert worst_pairs(rows, "ours", "stray", 2) == ["b", "a"]
    assert worst_pairs(rows, "theirs", "stray", 1) == ["c"]


def test_the_command_knows_every_measure_of_pairs():
    assert set(MEASURES) == set(PAIRS_COLUMNS)
