import doctest

import pytest

import pcakd.storage.retry as retry
from pcakd.errors import TransientError, UsageError
from pcakd.storage.retry import RetryPolicy, call_with_retry


def test_the_example_in_the_docstring_runs():
    assert doctest.testmod(retry).failed == 0


def test_it_gives_up_after_the_last_try_and_names_the_operation():
    waits: list[float] = []

    def fail() -> None:
        raise ConnectionError("secret text of a server")

    with pytest.raises(TransientError) as caught:
        call_with_retry(
            fail, what="read a.jpg", passing=lambda e: True, policy=RetryPolicy(attempts=4), sleep=waits.append
        )
    assert "read a.jpg" in str(caught.value)
    assert "4 tries" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert len(waits) == 3


def test_what_will_not_pass_is_raised_at_once():
    calls = []

    def fail() -> None:
        calls.append(1)
        raise KeyError("no")

    with pytest.raises(KeyError):
        call_with_retry(fail, what="x", passing=lambda e: False)
    assert len(calls) == 1


def test_waits_grow_up_to_the_cap():
    policy = RetryPolicy(base_s=1.0, cap_s=4.0)
    for tries, bound in enumerate([1, 2, 4, 4, 4], start=1):
        assert all(0 <= policy.wait_s(tries) <= bound for _ in range(100))


@pytest.mark.parametrize("fields", [{"attempts": 0}, {"base_s": -1}, {"base_s": 2, "cap_s": 1}])
def test_a_policy_checks_its_fields(fields):
    with pytest.raises(UsageError, match=next(iter(fields))):
        RetryPolicy(**fields)
