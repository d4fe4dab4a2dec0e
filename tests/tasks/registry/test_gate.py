import pytest

from pcakd.errors import UsageError
from tasks.registry.gate import Floors, Gate, Rivals, decide

NO_FLOORS = Floors(above_reinhard=-99, above_unchanged=-99, reconstruction=0)
GATE = Gate(axes={"ssim": "higher", "gram": "lower"}, tolerance=0.01, floors=NO_FLOORS)
BASELINES = {"reinhard": {"across.psnr": 24.6}, "unchanged": {"across.psnr": 18.4}}
GOOD = {"own.across.psnr": 25.0, "own.same.psnr": 30.0, "reconstruction": 36.0}


def held(ssim: float, gram: float, **rivals) -> bool:
    rivals = {"champion": {"ssim": 0.5, "gram": 1.0}, "champion_version": 1} | rivals
    return decide(GOOD | {"ssim": ssim, "gram": gram}, BASELINES, Rivals(**rivals), GATE).passed


def test_a_student_that_reaches_every_floor_is_the_first_champion():
    assert decide(GOOD, BASELINES, Rivals(), Gate()).passed


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"own.across.psnr": 24.5}, "reinhard 24.60 dB"),
        ({"own.across.psnr": 19.0}, "unchanged 18.40 dB, wanted 3 dB above it"),
        ({"own.across.psnr": float("nan")}, "across nan"),
        ({"reconstruction": 21.0}, "reconstruction 21.00 dB, wanted 30"),
        ({"unexplained.2": 0.99}, "unexplained variance at level 2 0.990, at most 0.85"),
    ],
)
def test_a_student_below_a_floor_is_refused_on_an_empty_registry_and_the_floor_is_named(changes, named):
    decision = decide(GOOD | changes, BASELINES, Rivals(), Gate())
    assert not decision.passed
    assert named in decision.reason


def test_the_matched_grade_is_no_merit():
    flattered = GOOD | {"same.psnr": 41.8, "across.psnr": 32.0, "own.across.psnr": 19.0}
    assert not decide(flattered, BASELINES, Rivals(), Gate()).passed


def test_a_report_without_the_scores_of_a_floor_reaches_it_not():
    reason = decide({"same.psnr": 40.0, "across.psnr": 32.0}, {}, Rivals(), Gate()).reason
    assert "across nan dB by the paper's transfer" in reason
    assert "reconstruction nan dB" in reason


def test_floors_hold_beside_a_champion_that_misses_them_itself():
    poor = GOOD | {"reconstruction": 20.0}
    assert "reconstruction" in decide(poor, BASELINES, Rivals(champion=poor, champion_version=1), Gate()).reason


@pytest.mark.parametrize(
    ("ssim", "gram", "passed"),
    [
        (0.50, 1.00, True),  # equal
        (0.51, 0.90, True),  # better on both
        (0.496, 1.009, True),  # worse, within the tolerance
        (0.60, 1.02, False),  # better on one, worse on the other
        (0.40, 0.50, False),
        (float("nan"), 0.5, False),
    ],
)
def test_a_challenger_must_hold_on_every_axis_within_the_tolerance(ssim, gram, passed):
    assert held(ssim, gram) is passed


@pytest.mark.parametrize(("ssim", "passed"), [(0.55, False), (0.552, False), (0.57, True)])
def test_after_a_rollback_a_version_must_be_clearly_better_than_the_one_rolled_back_from(ssim, passed):
    assert held(ssim, 1.0, set_back={"ssim": 0.55, "gram": 1.0}, set_back_version=2) is passed


def test_a_refusal_names_the_axis_and_both_values():
    rivals = Rivals(champion={"ssim": 0.5, "gram": 1.0}, champion_version=1)
    decision = decide(GOOD | {"ssim": 0.4, "gram": 1.0}, BASELINES, rivals, GATE)
    assert "ssim 0.4 against 0.5" in decision.reason
    assert "gram" not in decision.reason


def test_an_axis_that_was_not_measured_is_named():
    with pytest.raises(UsageError, match="gram was not measured of the challenger"):
        decide(GOOD | {"ssim": 1.0}, BASELINES, Rivals(champion={"ssim": 0.5, "gram": 1.0}), GATE)


@pytest.mark.parametrize("wrong", [{"axes": {}}, {"axes": {"a": "up"}}, {"tolerance": -0.1}, {"tolerance": 1}])
def test_a_gate_of_impossible_values_is_refused(wrong):
    with pytest.raises(UsageError):
        Gate(**wrong)


@pytest.mark.parametrize("wrong", [{"reconstruction": -1}, {"unexplained": (1.0,) * 5}, {"unexplained": (-0.1,)}])
def test_impossible_floors_are_refused(wrong):
    with pytest.raises(UsageError):
        Floors(**wrong)
