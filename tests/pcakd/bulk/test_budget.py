from datetime import time

import pytest

from pcakd.bulk import RunOptions
from pcakd.bulk.budget import Rate, parse_rate, parse_window
from pcakd.errors import UsageError
from tests.pcakd.bulk.made import resolved


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("20/s", Rate(20, of_bytes=False)),
        ("0.5", Rate(0.5, of_bytes=False)),
        ("5MB/s", Rate(5e6, of_bytes=True)),
        ("1.5 gb", Rate(1.5e9, of_bytes=True)),
        ("200000B/s", Rate(200_000, of_bytes=True)),
    ],
)
def test_a_rate_is_of_objects_or_of_bytes(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["fast", "20/min", "0/s", "0.01/s", "10kB/s", "-1/s", "nan"])
def test_a_rate_that_is_none_or_looks_like_standing_still_is_refused(text):
    with pytest.raises(UsageError, match="max_rate is"):
        RunOptions(max_rate=text)


def test_a_window_may_go_over_midnight():
    night, day = parse_window("22:00-06:00"), parse_window("9:30-17:00")
    hours = [0, 5, 6, 9, 10, 16, 17, 21, 22, 23]
    assert [hour for hour in hours if time(hour) in night] == [0, 5, 22, 23]
    assert [hour for hour in hours if time(hour) in day] == [10, 16]


@pytest.mark.parametrize("text", ["22:00", "22-6", "25:00-06:00", "06:00-06:00", "always"])
def test_a_window_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="window is"):
        RunOptions(window=text)


def test_the_budget_that_is_spent_is_named():
    options = RunOptions(max_minutes=1.5, max_gb_out=2, window="22:00-06:00")
    assert options.spent(seconds=89, bytes_out=0, now=time(23)) == ""
    assert options.spent(seconds=90, bytes_out=0, now=time(23)) == "max_minutes 1.5 are over"
    assert options.spent(seconds=0, bytes_out=2_000_000_000, now=time(23)) == "max_gb_out 2 is written"
    assert options.spent(seconds=0, bytes_out=0, now=time(6, 1)) == "it is 06:01, outside window 22:00-06:00"
    assert RunOptions().spent(seconds=1e9, bytes_out=1 << 60, now=time(12)) == ""


def test_budgets_are_no_part_of_a_job():
    """One command with another budget goes on with the same ledger."""
    names = {"max_minutes", "max_gb_out", "max_rate", "window"}
    assert names <= set(RunOptions.__dataclass_fields__)
    assert not names & set(resolved("in", "out").spec())
