"""What a job will take, reckoned from some of its objects."""

import datetime
import random

import pytest

from pcakd.bulk.estimate import OBJECTS, Machine, Prices, SizeSample, estimate
from pcakd.bulk.plan import dry_run
from pcakd.bulk.snapshot import Item
from pcakd.errors import UsageError
from tests.pcakd.bulk.made import NOW, fill, ledger, resolved, work

MACHINE = Machine(stylizers=2, cpus=4, start_s=10.0)


def cost(size: int) -> float:
    """Seconds of an object."""
    return 0.01 + size * 1e-6


def made(sizes: list[int], styles: tuple[str, ...] = ("x",)) -> SizeSample:
    sample = SizeSample()
    for number, size in enumerate(sizes):
        for style in styles:
            sample.add(Item(f"{number:06d}.jpg", size, "e", style, f"{number}.{style}.jpg"))
    return sample


def rows(items: list[Item], **changes) -> list[dict]:
    """As workers give them: two, each slow at its first."""
    found = []
    for number, item in enumerate(items):
        seconds = cost(item.size) * random.Random(item.key).uniform(0.8, 1.2) + (5.0 if number < 2 else 0.0)
        values = {"key": item.key, "listed": item.size, "status": "ok", "stylize_s": seconds}
        moment = NOW + datetime.timedelta(seconds=number)
        found.append(values | {"output_size": item.size * 2, "worker": f"w{number % 2}", "finished": moment} | changes)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_the_truth_is_within_the_spread_and_near_whatever_the_sizes_are(seed):
    draw = random.Random(seed)
    sizes = [round(draw.choice([1e4, 1e5, 4e6]) * draw.uniform(0.5, 2)) for _ in range(3000)]
    sample = made(sizes)
    chosen = sample.items()
    assert OBJECTS <= len(chosen) <= OBJECTS + 12, "a class that is small has one of its own"
    found = estimate(sample, rows(chosen), MACHINE, Prices())
    truth = 10 + sum(map(cost, sizes)) / 2
    assert abs(found.seconds.value - truth) < found.seconds.spread
    assert found.seconds.value == pytest.approx(truth, rel=0.25)
    assert found.bytes_out.value == pytest.approx(2 * sum(sizes), rel=0.25)
    assert (found.items, found.objects, found.failed) == (3000, 3000, 0)


def test_the_same_objects_are_chosen_each_time_with_all_their_styles():
    sizes = [1000 + number for number in range(500)]
    chosen = made(sizes, styles=("x", "y")).items()
    assert chosen == made(sizes, styles=("x", "y")).items()
    assert [item.style for item in chosen] == ["x", "y"] * (len(chosen) // 2)
    few = made(sizes[:3])
    assert len(few.items()) == 3
    found = estimate(few, rows(few.items()), MACHINE, Prices())
    assert found.bytes_out.spread == 0, "all were measured"


def test_what_is_said_is_hours_gigabytes_and_money_at_the_prices_that_are_given():
    sample = made([2_000_000] * 4000)
    prices = Prices.parse(["core_hour=1", "gb_month=0.5", "puts=0"])
    lines = estimate(sample, rows(sample.items(), status="truncated"), MACHINE, prices).lines()
    assert lines[0] == (
        "estimate for 4,000 results by 20 objects that were measured, 20 of them failed, on 2 stylizers (cpu):"
    )
    assert lines[1].startswith("  takes    1:")
    assert ", 10 s of it before the first result" in lines[1]
    assert lines[2] == "  GB out   16.000 (16.000 to 16.000)"
    assert lines[3].endswith(", 4 cores at 1 an hour")
    assert lines[4].startswith("  requests 0.00, at 0.0004, 0 and 0.005")
    assert lines[5] == "  storage  8.00 (8.00 to 8.00) a month, at 0.5 a GB"
    assert "--price" in estimate(sample, rows(sample.items()), MACHINE, Prices()).lines()[-1]
    for word in ("core=1", "puts", "puts=x", "puts=-1", "puts=inf"):
        with pytest.raises(UsageError, match="write NAME=X, of core_hour, gets"):
            Prices.parse([word])


def test_a_dry_run_tells_of_what_a_run_would_take_and_of_nothing_else(tmp_path):
    fill(tmp_path / "in", 6)
    (tmp_path / "in" / "b.mp4").write_bytes(b"x")
    places = (tmp_path / "in", tmp_path / "out")
    book = ledger(*places, limit=3)
    snapshot = book.begin(book.dest.__class__(tmp_path / "in"))
    work(snapshot, status=lambda item: ("ok", False) if item["style"] == "a" else ("missing", True))
    told: list[tuple[str, str]] = []
    dry_run(resolved(*places), pending=lambda item: told.append((item.key, item.style)))
    done = {(f"{number:04d}.jpg", "a") for number in range(3)}
    assert told == [
        (f"{number:04d}.jpg", style)
        for number in range(6)
        for style in "ab"
        if (f"{number:04d}.jpg", style) not in done
    ]
