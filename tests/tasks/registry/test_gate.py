import pytest

from pcakd.errors import UsageError
from tasks.registry.gate import Gate, decide

GATE = Gate(axes={"ssim": "higher", "gram": "lower"}, tolerance=0.01)


def test_the_first_student_becomes_champion():
    assert decide({}, None, GATE).passed


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
    assert decide({"ssim": ssim, "gram": gram}, {"ssim": 0.5, "gram": 1.0}, GATE).passed is passed


def test_a_refusal_names_the_axis_and_both_values():
    decision = decide({"ssim": 0.4, "gram": 1.0}, {"ssim": 0.5, "gram": 1.0}, GATE)
    assert "ssim 0.4 against 0.5" in decision.reason
    assert "gram" not in decision.reason


def test_an_axis_that_was_not_measured_is_named():
    with pytest.raises(UsageError, match="gram was not measured of the challenger"):
        decide({"ssim": 1.0}, {"ssim": 0.5, "gram": 1.0}, GATE)


@pytest.mark.parametrize("wrong", [{"axes": {}}, {"axes": {"a": "up"}}, {"tolerance": -0.1}, {"tolerance": 1}])
def test_a_gate_of_impossible_values_is_refused(wrong):
    with pytest.raises(UsageError):
        Gate(**wrong)
