from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcakd import Style, StylizeOptions, Stylizer
from pcakd.evaluation.graded import Grade, graded_pair
from pcakd.photos.images import read_photo
from pcakd.student.released import import_released
from pcakd.stylize.cells import pool_cells
from pcakd.stylize.matched_grade import CELL, NO_GRADE, SIDE, describe, match_grade, mutual_matches, shrink
from tests.corpus import photograph
from tests.models import random_checkpoint

COMPATS = ("pcakd", "released")
WARM = Grade(gains=(1.2, 1.0, 0.8), gamma=1.2, saturation=0.7, shadows=(-0.02, 0.0, 0.04))


@pytest.fixture(scope="module", params=["vgg", "mobilenet"])
def stylizer(request):
    return Stylizer(random_checkpoint(request.param, channels=(10, 20, 40, 50)), device="cpu")


@pytest.fixture(scope="module", params=["vgg", "mobilenet"])
def trained(request, assets):
    checkpoint = import_released(assets / f"released_tf/{request.param}")
    metadata = replace(checkpoint.metadata, compat="pcakd")
    return Stylizer(checkpoint._replace(metadata=metadata), device="cpu")


def tensor(rgb: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None].float() / 255


def distance(result, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean((np.asarray(result, np.float64) - truth) ** 2)))


def test_a_graded_copy_as_style_gives_back_the_grade(stylizer):
    content = np.asarray(photograph(0, 192, 256))
    truth = WARM.apply(content)
    result = stylizer.stylize(content, truth)
    assert stylizer.matched_grade(content, stylizer.style(truth)).weight == 1
    assert distance(result, truth) < 6
    assert distance(result, truth) < distance(content, truth) / 4


def test_another_part_of_the_photo_shows_the_grade_that_the_paper_misses(trained, assets):
    rgb = read_photo(assets / "photos_small/bsds_296059.jpg").rgb
    for kind in ("same", "across"):
        pair = graded_pair(rgb, kind, name="photo", seed=3)
        ours, papers = (distance(trained.stylize(pair.content, pair.style, compat=c), pair.truth) for c in COMPATS)
        assert ours < papers / 1.5


def test_photos_of_different_things_come_out_as_the_paper_has_them(trained):
    noise = np.random.default_rng(0).integers(0, 255, (192, 256, 3), np.uint8)
    content = np.asarray(photograph(1, 192, 256))
    for other in (noise, np.asarray(photograph(0, 192, 256))):
        style = trained.style(other)
        assert trained.matched_grade(content, style).weight < 0.01
        ours, papers = (np.asarray(trained.stylize(content, style, compat=c, render="full")) for c in COMPATS)
        assert np.abs(ours.astype(int) - papers).max() <= 2


def test_compat_released_and_imported_models_use_the_paper_alone(stylizer):
    content = np.asarray(photograph(0, 192, 256))
    style = stylizer.style(WARM.apply(content))
    assert stylizer.matched_grade(content, style, StylizeOptions(compat="released")) is NO_GRADE
    stylizer.metadata, ours = (
        stylizer.metadata.__class__(spec=stylizer.metadata.spec, compat="released"),
        (stylizer.metadata),
    )
    try:
        assert stylizer.matched_grade(content, style) is NO_GRADE
        assert stylizer.matched_grade(content, style, StylizeOptions(compat="pcakd")).weight == 1
    finally:
        stylizer.metadata = ours


def test_a_saved_and_loaded_style_gives_the_same_grade(stylizer, tmp_path):
    content = np.asarray(photograph(0, 192, 256))
    style = stylizer.style(WARM.apply(content))
    style.save(tmp_path / "warm.safetensors")
    again = Style.load(tmp_path / "warm.safetensors")
    assert np.array_equal(stylizer.stylize(content, style), stylizer.stylize(content, again))


def test_a_style_without_cells_is_applied_by_the_paper_alone(stylizer):
    content = np.asarray(photograph(0, 192, 256))
    style = stylizer.style(WARM.apply(content))
    assert stylizer.matched_grade(content, Style(style.levels, style.model)) is NO_GRADE


def test_a_pooled_style_matches_against_all_its_photos(trained):
    content = np.asarray(photograph(0, 192, 256))
    pooled = trained.style(np.asarray(photograph(1, 160, 256)), WARM.apply(content))
    grade = trained.matched_grade(content, pooled)
    assert grade.weight > 0.5
    assert distance(grade.apply(tensor(content))[0].permute(1, 2, 0) * 255, WARM.apply(content)) < 8


def test_strength_goes_evenly_from_the_photo_to_the_grade(stylizer):
    content = np.asarray(photograph(0, 192, 256))
    grade = stylizer.matched_grade(content, stylizer.style(WARM.apply(content)))
    photo = tensor(content)
    torch.testing.assert_close(grade.apply(photo, 0.0), photo)
    half = (photo + grade.apply(photo)) / 2
    torch.testing.assert_close(grade.apply(photo, 0.5), half, atol=1e-6, rtol=0)


def test_a_grade_is_the_same_in_every_tiling(stylizer):
    content = np.asarray(photograph(0, 192, 256))
    grade = stylizer.matched_grade(content, stylizer.style(WARM.apply(content)))
    photo = tensor(content)
    tiles = torch.cat([grade.apply(photo[..., :100]), grade.apply(photo[..., 100:])], dim=3)
    torch.testing.assert_close(tiles, grade.apply(photo), atol=1e-6, rtol=0)


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_constant_photos_give_finite_grades_that_count_nothing(stylizer, colour):
    constant = tensor(np.full((160, 160, 3), colour, np.uint8))
    cells = describe(stylizer.student, shrink(constant))
    for content in (constant, tensor(np.asarray(photograph(0, 160, 160)))):
        grade = match_grade(stylizer.student, content, cells)
        assert grade.weight == 0
        assert all(torch.isfinite(t).all() for t in (grade.matrix, grade.bias, grade.polynomial))


def test_photos_too_small_to_prove_anything_have_no_grade(stylizer):
    content = np.asarray(photograph(0, 96, 128))
    assert stylizer.matched_grade(content, stylizer.style(content)) is NO_GRADE


@pytest.mark.parametrize("size", [(1, 1), (7, 3000), (96, 128), (400, 300), (2000, 1500)])
def test_a_shrunk_photo_has_whole_cells_and_bounded_sides(size):
    height, width = shrink(torch.zeros(1, 3, *size)).shape[-2:]
    assert height % CELL == width % CELL == 0
    assert min(height, width) >= 2 * CELL
    assert max(height, width) <= SIDE


def test_cells_of_several_photos_are_pooled_in_order(stylizer):
    a, b = (describe(stylizer.student, shrink(tensor(np.asarray(photograph(i, 64, 64 + 32 * i))))) for i in (0, 1))
    pooled = pool_cells([a, b])
    assert len(pooled.mean) == len(a.mean) + len(b.mean)
    assert torch.equal(pooled.features[len(a.mean) :], b.features)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(2, 40))
def test_matches_are_mutual_and_their_weights_sum_to_one(seed, rows, columns):
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(rows, 5, generator=generator), torch.randn(columns, 5, generator=generator)
    pairs = mutual_matches(a, b)
    back = mutual_matches(b, a)
    assert set(zip(pairs.content.tolist(), pairs.style.tolist(), strict=True)) == set(
        zip(back.style.tolist(), back.content.tolist(), strict=True)
    )
    assert float(pairs.weight.sum()) == pytest.approx(1)
    assert len(set(pairs.style.tolist())) == len(pairs.style)


def test_rows_match_themselves_whatever_their_order():
    rows = torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    pairs = mutual_matches(rows, rows[order])
    assert torch.equal(order[pairs.style], pairs.content)
