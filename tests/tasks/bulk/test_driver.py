"""What the driver makes of the rows that come from Ray; here they come from a script."""

import signal
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import datetime, timedelta
from types import SimpleNamespace

import pyarrow as pa
import pytest

from pcakd.bulk import RunOptions
from pcakd.errors import FatalError, TransientError
from pcakd.storage import open_storage
from tasks.bulk import driver as driver_module
from tasks.bulk import pipeline
from tasks.bulk.driver import MANY_LOST, OUTAGE, BudgetError, Driver, OutageError, TerminatedError, TooManyFailedError
from tasks.bulk.progress import BulkProgress
from tasks.lease import SupersededError, acquire
from tests.pcakd.bulk.made import fill, ledger, row

BLOCK = 4


class Chain:
    """Answers for items, a block at a time. answer(item, alone) → (status, passing), or None: its worker dies."""

    def __init__(self, answer: Callable) -> None:
        self.answer, self.passes = answer, []
        self.ending, self.late, self.room = False, [], 5
        """ending: the block after the one at which the loop is left is finished, too."""

    def run(self, items, *, alone: bool = False) -> Iterator:
        self.passes.append((len(items), alone))
        size = 1 if alone else BLOCK
        rows = items.to_pylist()
        for start in range(0, len(rows), size):
            block = rows[start : start + size]
            answers = [self.answer(item, alone) for item in block]
            yield None
            if None not in answers:
                finished = [
                    row(item, status, passing=passing, message=status) | {"part": item["part"]}
                    for item, (status, passing) in zip(block, answers, strict=True)
                ]
                try:
                    yield finished
                finally:
                    if self.ending:
                        self.late = [row(item) | {"part": item["part"]} for item in rows[start + size :][:size]]


@pytest.fixture
def start(tmp_path, monkeypatch):
    """start(objects, answer) → (driver, its chain); the snapshot is the driver's."""
    monkeypatch.setattr(driver_module, "ray_cluster", nullcontext)
    held = acquire(open_storage(tmp_path / "lease"), holder="me")

    def make(count: int, answer: Callable, **options) -> tuple[Driver, Chain]:
        source = tmp_path / "in"
        if not source.exists():
            fill(source, count)
        snapshot = ledger(source, tmp_path / "out", styles=("x.jpg",)).begin(open_storage(source), part_items=30)
        chain = Chain(answer)
        progress = BulkProgress()
        return Driver(
            snapshot, held, RunOptions(**options), progress, run="run", model="vgg", make_chain=lambda items: chain
        ), chain

    yield make
    held.release()


OKAY = ("ok", False)
AWAY = ("unreachable", True)


def number(item: dict) -> int:
    return int(item["key"].removesuffix(".jpg"))


def test_every_item_gets_its_row_and_nothing_is_done_twice(start):
    driver, chain = start(70, lambda item, alone: ("truncated", False) if number(item) == 5 else OKAY)
    driver.work()
    assert chain.passes == [(70, False)]
    assert driver.snapshot.finish().status == {"ok": 69, "truncated": 1}
    driver, chain = start(70, lambda item, alone: OKAY)
    driver.work()
    assert chain.passes == []


def test_neighbours_of_an_item_that_ends_its_worker_are_tried_alone(start):
    driver, chain = start(20, lambda item, alone: None if number(item) == 9 else OKAY)
    driver.work()
    assert chain.passes == [(20, False), (4, True)]
    totals = driver.snapshot.finish()
    assert (totals.status, totals.passing) == ({"ok": 19, "crashed": 1}, 1)
    assert driver.state.done == driver.snapshot.item_count


def test_a_job_of_nothing_but_such_items_is_finished_again_and_again(start):
    for passes in ([(12, False), (12, True)], [(12, False), (12, True)]):
        driver, chain = start(12, lambda item, alone: None)
        driver.work()
        assert chain.passes == passes
        assert driver.snapshot.finish().status == {"crashed": 12}


def test_many_items_of_which_none_comes_through_are_rays_trouble(start):
    driver, _ = start(MANY_LOST + 1, lambda item, alone: None)
    with pytest.raises(TransientError, match="every Ray worker died"):
        driver.work()
    assert driver.snapshot.totals().pending == MANY_LOST + 1


def test_what_may_pass_is_tried_again_at_the_end(start):
    driver, chain = start(20, lambda item, alone: AWAY if number(item) % 5 == 0 and not alone else OKAY)
    driver.work()
    assert chain.passes == [(20, False), (4, True)]
    assert driver.snapshot.finish().status == {"ok": 20}
    assert driver.state.done == driver.snapshot.item_count


def test_a_storage_that_is_away_ends_the_run_and_keeps_every_row_that_came(start):
    driver, _ = start(60, lambda item, alone: AWAY if number(item) >= 10 else OKAY)
    with pytest.raises(OutageError, match=f"{OUTAGE} items in a row"):
        driver.work()
    totals = driver.snapshot.totals()
    assert totals.status["ok"] == 10
    assert OUTAGE <= totals.status["unreachable"] < OUTAGE + BLOCK
    assert totals.pending == 60 - 10 - totals.status["unreachable"]


def test_scattered_objects_that_stay_away_do_not_keep_a_job_from_ending(start):
    driver, chain = start(60, lambda item, alone: AWAY if number(item) % 3 == 0 else OKAY)
    driver.work()
    assert chain.passes == [(60, False), (20, True)]
    assert driver.snapshot.finish().status == {"ok": 40, "unreachable": 20}


def test_an_outage_while_items_without_a_row_are_tried_ends_the_run(start):
    def answer(item, alone):
        if number(item) == 59:
            return None
        return AWAY if number(item) % 3 == 0 else OKAY

    driver, _ = start(60, answer)
    with pytest.raises(OutageError):
        driver.work()
    assert driver.snapshot.totals().pending > 0


def test_what_workers_finish_while_a_run_is_ended_keeps_its_rows(start, monkeypatch):
    driver, chain = start(20, lambda item, alone: OKAY)
    chain.ending = True

    def update(*_, **__):
        if driver.state.done == BLOCK:
            raise KeyboardInterrupt

    monkeypatch.setattr(driver.progress, "update", update)
    with pytest.raises(KeyboardInterrupt):
        driver.work()
    assert driver.snapshot.totals().ok == 2 * BLOCK


def test_a_chain_that_is_left_hands_over_what_comes_while_it_ends():
    class Ending(pipeline.Chain):
        def __init__(self):
            self.shares, self.late = SimpleNamespace(stylizers=1), []

        def _consume(self, blocks, alone, rows, over):
            rows.put([{"key": "first"}])
            over.wait()
            rows.put([{"key": "last"}])

    chain = Ending()
    stream = chain.run(pa.table({"size": [1, 1]}))
    assert next(stream) == [{"key": "first"}]
    stream.close()
    assert chain.late == [{"key": "last"}]


@pytest.mark.parametrize(
    ("status", "options", "error"),
    [("stop", {}, FatalError), ("truncated", {"max_failed": 3}, TooManyFailedError)],
)
def test_rows_beside_the_one_that_ends_the_run_are_kept(start, status, options, error):
    driver, _ = start(20, lambda item, alone: (status, False) if number(item) >= 4 else OKAY, **options)
    with pytest.raises(error):
        driver.work()
    totals = driver.snapshot.totals()
    assert totals.ok == 4
    assert totals.status.get("truncated", 0) == (4 if status == "truncated" else 0)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"max_gb_out": 7e-8}, "max_gb_out 7e-08 is written"), ({"max_minutes": 1}, "max_minutes 1 are over")],
)
def test_a_budget_that_is_spent_ends_the_run_and_the_same_job_goes_on(start, monkeypatch, options, says):
    def answer(item, alone):
        if number(item) == 12:
            driver._started -= 60
        return OKAY

    driver, chain = start(20, answer, **options)
    with pytest.raises(BudgetError, match=rf"{says}: stopped with \d+ of 20 items done; the same command goes on"):
        driver.work()
    done = driver.snapshot.totals().ok
    assert 10 <= done < 20
    driver, chain = start(20, lambda item, alone: OKAY)
    driver.work()
    assert chain.passes == [(20 - done, False)]
    assert driver.snapshot.finish().status == {"ok": 20}


def test_a_run_that_is_asked_to_end_keeps_its_rows_and_the_same_job_goes_on(start):
    def answer(item, alone):
        if number(item) == 9:
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL, "it would end this process"
            signal.raise_signal(signal.SIGTERM)
        return OKAY

    before = signal.getsignal(signal.SIGTERM)
    driver, _ = start(20, answer)
    with pytest.raises(TerminatedError, match=r"asked to end \(SIGTERM\): stopped with 8 of 20 items done; the same"):
        driver.work()
    assert driver.snapshot.totals().ok == 8
    assert signal.getsignal(signal.SIGTERM) is before
    driver, chain = start(20, lambda item, alone: OKAY)
    driver.work()
    assert chain.passes == [(12, False)]
    assert driver.snapshot.finish().status == {"ok": 20}


def test_outside_its_window_a_run_does_not_even_start(start):
    later = datetime.now() + timedelta(hours=3)
    driver, chain = start(20, lambda item, alone: OKAY, window=f"{later:%H:%M}-{later + timedelta(hours=1):%H:%M}")
    with pytest.raises(BudgetError, match="outside window"):
        driver.work()
    assert chain.passes == []


def test_a_budget_that_the_last_item_spends_does_not_keep_the_job_from_ending(start):
    driver, _ = start(20, lambda item, alone: OKAY, max_gb_out=20 * 7e-9)
    driver.work()
    assert driver.snapshot.finish().status == {"ok": 20}


def test_a_run_that_was_overtaken_stops_and_its_rows_stay(start, monkeypatch):
    driver, _ = start(20, lambda item, alone: OKAY)
    driver.held._superseded.set()
    with pytest.raises(SupersededError, match="another run took this job over"):
        driver.work()
    assert driver.snapshot.totals().ok <= BLOCK
