"""What is computed side by side on a CPU, and with how many threads."""

import threading

import pytest
import torch

from pcakd.stylize.strips import cut, map_strips, strips_alone, strips_at_once, with_beside

CPU = torch.device("cpu")
THREADS = 3


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


def at_once() -> tuple[int, int]:
    """Threads of operators, and strips at a time."""
    return torch.get_num_threads(), strips_at_once()


def test_within_strips_alone_operators_have_one_thread_and_strips_all():
    assert at_once() == (THREADS, THREADS)
    with strips_alone():
        assert at_once() == (1, THREADS)
        with strips_alone(2):
            assert at_once() == (1, 2)
        assert at_once() == (1, THREADS)
        together = threading.Barrier(THREADS, timeout=60)
        found = map_strips(lambda start, stop: (together.wait() >= 0, at_once()), cut(THREADS, 1), CPU)
    assert found == [(True, (1, 1))] * THREADS
    assert at_once() == (THREADS, THREADS)


def test_what_is_small_runs_beside_on_one_thread_and_the_rest_on_the_others():
    together = threading.Barrier(2, timeout=60)

    def met() -> tuple[int, int]:
        together.wait()
        return at_once()

    assert with_beside(met, met, CPU) == ((1, THREADS - 1), (1, 1))
    assert at_once() == (THREADS, THREADS)


def test_with_one_thread_there_is_nothing_beside():
    torch.set_num_threads(1)
    assert with_beside(threading.get_ident, threading.get_ident, CPU) == (threading.get_ident(),) * 2


@pytest.mark.parametrize("first", [True, False])
def test_an_error_of_either_is_raised_when_both_have_ended(first):
    failed = threading.Event()

    def fails() -> None:
        failed.set()
        raise ValueError("no")

    def ends() -> None:
        assert failed.wait(60)

    with pytest.raises(ValueError, match="no"):
        with_beside(*((fails, ends) if first else (ends, fails)), CPU)
    assert not [one.name for one in threading.enumerate() if one.name.startswith("pcakd-beside")]
    assert at_once() == (THREADS, THREADS)
