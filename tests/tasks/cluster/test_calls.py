import os

import pytest

from pcakd.errors import PhotoError, TransientError
from tasks.cluster.calls import WorkerLostError, run_all

pytestmark = pytest.mark.slow


def test_every_call_is_carried_out_once_and_few_are_taken_ahead(ray_cluster):
    taken = 0

    def calls():
        nonlocal taken
        for number in range(50):
            taken += 1
            yield (number,)

    results = []
    for result in run_all(lambda number: number * 2, calls()):
        results.append(result)
        assert taken <= len(results) + 5
    assert sorted(results) == [number * 2 for number in range(50)]


def test_an_error_of_the_project_comes_back_as_itself(ray_cluster):
    def refuse(number: int) -> None:
        raise PhotoError(f"{number}.jpg: is empty", reason="empty")

    with pytest.raises(PhotoError, match=r"^1\.jpg: is empty$") as caught:
        list(run_all(refuse, [(1,)]))
    assert caught.value.reason == "empty"


def test_a_worker_that_dies_is_reported_or_handed_over(ray_cluster):
    def die(number: int) -> int:
        if number == 3:
            os.abort()
        return number

    with pytest.raises(WorkerLostError) as caught:
        list(run_all(die, [(3,)], retries=0))
    assert caught.value.call == (3,)
    assert isinstance(caught.value, TransientError)
    calls = [(number,) for number in range(5)]
    assert sorted(run_all(die, calls, on_loss=lambda call: -call[0], retries=1)) == [-3, 0, 1, 2, 4]
