import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pcakd.bulk.budget import Rate
from tasks.bulk.pace import Pace, Paced


def test_moments_are_dealt_out_at_the_rate_whoever_asks_and_nothing_is_saved_up():
    now = [100.0]
    pace = Pace(10, clock=lambda: now[0])
    assert [pace.take(1) for _ in range(3)] == pytest.approx([0, 0.1, 0.2])
    assert pace.take(5) == pytest.approx(0.3)
    assert pace.take(1) == pytest.approx(0.8)
    now[0] += 60
    assert [pace.take(1) for _ in range(2)] == pytest.approx([0, 0.1])


@pytest.mark.slow
@pytest.mark.alone
def test_workers_on_a_cluster_keep_one_rate_together(ray_cluster):
    import ray

    paced = Paced.start("test", Rate(40, of_bytes=False))

    def work(paced, count: int) -> list[float]:
        moments = []
        with ThreadPoolExecutor(4) as threads:
            for _ in threads.map(lambda _: paced.before_read(10**9), range(count)):
                moments.append(time.time())
        return moments

    worker = ray.remote(num_cpus=0.1)(work)
    done = ray.get([worker.remote(paced, 40) for _ in range(3)])
    moments = sorted(moment for one in done for moment in one)
    assert (len(moments) - 1) / (moments[-1] - moments[0]) <= 40 * 1.1
    started = time.monotonic()
    paced.before_write(10**9)
    assert time.monotonic() - started < 0.5
