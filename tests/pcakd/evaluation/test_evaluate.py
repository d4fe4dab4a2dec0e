import json

import numpy as np
import pytest

from pcakd.errors import UsageError
from pcakd.evaluation.evaluate import (
    Row,
    evaluate_graded,
    evaluate_pairs,
    find_pairs,
    intervals,
    means,
    photo_files,
    read_pairs,
)
from pcakd.evaluation.graded import Grade
from pcakd.evaluation.methods import Method, baselines
from pcakd.evaluation.report import graded_table, json_report, pairs_table
from tests.corpus import photograph


@pytest.fixture
def pairs(tmp_path):
    for part, start in (("content", 0), ("style", 20)):
        (tmp_path / part).mkdir()
        for name in (2, 10, 1):
            photograph(start + name, 48, 64).save(tmp_path / part / f"{name}.png")
    return tmp_path


def test_pairs_are_found_by_name_in_natural_order(pairs):
    assert [name for name, *_ in find_pairs(pairs)] == ["1", "2", "10"]


def test_pairs_are_shrunk_to_a_longest_side(pairs):
    assert {pair.content.shape for pair in read_pairs(pairs, longest=32)} == {(24, 32, 3)}
    assert {pair.style.shape for pair in read_pairs(pairs, longest=640)} == {(48, 64, 3)}


def test_a_content_without_style_is_named(pairs):
    (pairs / "style" / "10.png").unlink()
    with pytest.raises(UsageError, match="10 has no photo in style/"):
        find_pairs(pairs)


def test_folders_without_photos_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        photo_files(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="has no photos"):
        photo_files(tmp_path)


def test_unchanged_keeps_all_content_and_every_method_is_scored_on_every_pair(pairs):
    seen = []
    rows = evaluate_pairs(baselines(), read_pairs(pairs), picture=lambda name, photos: seen.append((name, [*photos])))
    assert len(rows) == 9
    scores = means(rows)
    assert scores["unchanged"]["ssim"] == pytest.approx(1)
    assert scores["linear MK"]["ssim"] < 1
    assert seen[0] == ("1", ["content", "style", "unchanged", "reinhard", "linear MK"])


def test_a_method_that_knows_the_truth_is_perfect_on_graded_photos(pairs):
    grades = {}
    knows = Method("knows", lambda style: style, lambda content, style: style)
    rows = evaluate_graded([knows], photo_files(pairs / "content"), kinds=["same"], done=grades.setdefault)
    assert means(rows["same"])["knows"] == {
        "psnr": 99.0,
        "ssim": pytest.approx(1),
        "delta_e76": 0.0,
        "ciede2000": 0.0,
    }


def test_a_photos_grade_depends_on_seed_and_name_alone(pairs):
    files = photo_files(pairs / "content")
    together = evaluate_graded(baselines(), files, kinds=["across"])["across"]
    alone = evaluate_graded(baselines(), files[-1:], kinds=["across"])["across"]
    assert together[-3:] == alone
    assert evaluate_graded(baselines(), files[-1:], kinds=["across"], seed=1)["across"] != alone


def test_baselines_stand_in_order_on_a_photo_and_its_grade(pairs):
    scores = means(evaluate_graded(baselines(), photo_files(pairs / "content"), kinds=["same"])["same"])
    assert scores["unchanged"]["psnr"] < scores["reinhard"]["psnr"] < scores["linear MK"]["psnr"]


def test_tables_and_json_hold_the_means(pairs):
    methods = baselines()
    pair_rows = evaluate_pairs(methods, read_pairs(pairs))
    graded = evaluate_graded(methods, photo_files(pairs / "content"))
    assert pairs_table(pair_rows, methods, "pairs").row_count == 3
    assert len(graded_table(graded, methods, "graded").columns) == 1 + 4 * 4
    record = json.loads(json_report({"seed": 0}, methods, pair_rows, graded))
    assert record["pairs"]["means"]["unchanged"]["ssim"] == pytest.approx(1)
    assert len(record["graded"]["across"]["rows"]) == 9
    low, high = record["graded"]["across"]["intervals"]["reinhard"]["psnr"]
    assert low < record["graded"]["across"]["means"]["reinhard"]["psnr"] < high
    assert record["methods"]["reinhard"] == {"parameters": 0}


def test_photos_are_shrunk_before_they_are_graded(pairs):
    sizes = []
    watch = Method("watch", lambda style: None, lambda content, _: sizes.append(content.shape) or content)
    evaluate_graded([watch], photo_files(pairs / "content")[:1], kinds=["same"], shortest=32)
    assert sizes == [(32, 43, 3)]
    assert np.array_equal(Grade().apply(np.zeros((2, 2, 3), np.uint8)), np.zeros((2, 2, 3)))


def test_an_interval_holds_the_true_mean_about_95_times_in_100_and_narrows_with_pairs():
    rng, held, widths = np.random.default_rng(1), 0, []
    for _ in range(200):
        rows = [Row(str(i), "m", {"x": value}) for i, value in enumerate(rng.normal(3, 1, 40))]
        low, high = intervals(rows)["m"]["x"]
        held += low <= 3 <= high
        widths.append(high - low)
    assert 175 <= held <= 200
    few = [Row(str(i), "m", {"x": value}) for i, value in enumerate(rng.normal(3, 1, 8))]
    low, high = intervals(few)["m"]["x"]
    assert high - low > np.mean(widths)
