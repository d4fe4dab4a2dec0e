"""What a job will take, reckoned from some of its objects: hours, gigabytes, money, and how sure that is.

    sample = SizeSample()
    for item in pending: sample.add(item)              # in the order of keys
    measured = run(sample.items(OBJECTS))              # rows, as workers give them
    estimate(sample, measured, machine, prices)

A photo's cost goes with its size, so objects are told apart by it, doubling by doubling, and each of these classes is
reckoned by its own sample: a few large photos among many small ones neither hide nor count too often.
"""

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from hashlib import blake2b
from statistics import fmean, stdev
from typing import Any

from pcakd.bulk.snapshot import Item
from pcakd.errors import UsageError
from pcakd.photos.outcomes import NO_FAILURES
from pcakd.units import counted, duration

OBJECTS = 20
"""So many are measured."""
WIDE = 2.0
"""Standard errors between the estimate and each end of its spread: 95 of 100 such spreads hold the truth, were the
sample large."""

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Example prices, nobody's offer; `--price NAME=X` gives others."""

    core_hour: float = 0.04
    """Of a core for an hour."""
    gets: float = 0.0004
    """Of 1,000 GET requests."""
    puts: float = 0.005
    """Of 1,000 PUT requests."""
    lists: float = 0.005
    """Of 1,000 LIST requests."""
    gb_month: float = 0.023
    """Of a GB for a month."""

    @classmethod
    def parse(cls, given: Iterable[str]) -> "Prices":
        """Of NAME=X words. Raises UsageError."""
        names, values = [one.name for one in fields(cls)], {}
        for word in given:
            name, _, text = word.partition("=")
            try:
                values[name] = float(text)
            except ValueError:
                values[name] = math.nan
            if name not in names or not 0 <= values[name] < math.inf:
                raise UsageError(f"price is {word!r}: write NAME=X, of {', '.join(names)}")
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What measured: stylizers at once, CPUs in all, seconds until the first result, whether a listing is asked for."""

    stylizers: int
    cpus: int
    start_s: float
    device: str = "cpu"
    listed: bool = True


@dataclass
class _Class:
    """Objects of about one size."""

    items: int = 0
    bytes: int = 0
    objects: int = 0
    kept: list[tuple[int, list[Item]]] = field(default_factory=list)  # a heap: the smallest hashes, negated


class SizeSample:
    """Objects of every size, chosen by their keys' hashes; memory does not grow with the job."""

    def __init__(self) -> None:
        self.classes: dict[int, _Class] = defaultdict(_Class)
        self._object: list[Item] = []

    def add(self, item: Item) -> None:
        """The next item; those of one object come one after the other."""
        if self._object and self._object[0].key != item.key:
            self._keep()
        self._object.append(item)

    @property
    def objects(self) -> int:
        self._keep()
        return sum(one.objects for one in self.classes.values())

    @property
    def count(self) -> int:
        """Of items."""
        self._keep()
        return sum(one.items for one in self.classes.values())

    def items(self, objects: int = OBJECTS) -> list[Item]:
        """Those of about so many objects: of each class as many as its share of all bytes, one at least. The class
        with the most comes first, as the first item of each worker counts little."""
        self._keep()
        total = sum(one.bytes for one in self.classes.values()) or 1
        chosen = []
        for one in sorted(self.classes.values(), key=lambda one: -one.bytes):
            number = max(1, round(objects * one.bytes / total))
            for _, items in sorted(one.kept, reverse=True)[:number]:
                chosen += items
        return chosen

    def _keep(self) -> None:
        if not self._object:
            return
        items, self._object = self._object, []
        one = self.classes[size_class(items[0].size)]
        one.objects, one.items = one.objects + 1, one.items + len(items)
        one.bytes += items[0].size
        entry = (-int.from_bytes(blake2b(items[0].key.encode(), digest_size=8).digest()), items)
        if len(one.kept) < OBJECTS:
            heapq.heappush(one.kept, entry)
        else:
            heapq.heappushpop(one.kept, entry)


def size_class(size: int) -> int:
    """Objects of one class differ by less than a doubling."""
    return size.bit_length()


@dataclass(frozen=True, kw_only=True)
class Span:
    """A figure, and how far to either side the truth may lie."""

    value: float
    spread: float

    def __mul__(self, factor: float) -> "Span":
        return Span(value=self.value * factor, spread=self.spread * factor)

    def __add__(self, other: float) -> "Span":
        return Span(value=self.value + other, spread=self.spread)

    def words(self, form: Callable[[float], str]) -> str:
        """ "12.3 (11.9 to 12.7)", each number written by `form`."""
        low, high = max(0.0, self.value - self.spread), self.value + self.spread
        return f"{form(self.value)} ({form(low)} to {form(high)})"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """items: that are left to do; measured: of them, in so many objects; failed: of those. seconds: of the run, its
    start included; bytes_out: of results."""

    items: int
    objects: int
    measured: int
    measured_objects: int
    failed: int
    seconds: Span
    bytes_out: Span
    machine: Machine
    prices: Prices

    def lines(self) -> list[str]:
        """For people."""
        machine, prices = self.machine, self.prices
        compute = self.seconds * (machine.cpus / 3600 * prices.core_hour)
        lists = self.objects / 1000 * prices.lists if machine.listed else 0.0
        requests = self.objects / 1000 * prices.gets + self.items * 1.01 / 1000 * prices.puts + lists / 1000
        money = "{:,.2f}".format
        storage = self.bytes_out * (prices.gb_month / 1e9)
        failed = f", {self.failed} of them failed" if self.failed else ""
        return [
            f"estimate for {counted(self.items, 'result')} by {counted(self.measured_objects, 'object')} that were "
            f"measured{failed}, on {counted(machine.stylizers, 'stylizer')} ({machine.device}):",
            f"  takes    {self.seconds.words(duration)}, {machine.start_s:.0f} s of it before the first result",
            f"  GB out   {(self.bytes_out * 1e-9).words('{:,.3f}'.format)}",
            f"  compute  {compute.words(money)}, {counted(machine.cpus, 'core')} at {prices.core_hour:g} an hour",
            f"  requests {money(requests)}, at {prices.gets:g}, {prices.puts:g} and {prices.lists:g} for 1,000 GET, "
            "PUT and LIST",
            f"  storage  {storage.words(money)} a month, at {prices.gb_month:g} a GB",
            "  example prices, nobody's offer; --price NAME=X gives others" if prices == Prices() else "",
        ]


def estimate(sample: SizeSample, rows: Iterable[Row], machine: Machine, prices: Prices) -> Estimate:
    """rows: of items of the sample, as workers give them, with the listed size as "listed".

    A worker's first item is left out where others of its class were measured: it pays for what is loaded then.
    """
    measured = list(rows)
    every, warm = _by_class(measured), _by_class(_warm(measured))
    seconds = _total(sample, {name: [_busy(row) for row in warm.get(name, found)] for name, found in every.items()})
    size = _total(sample, {name: [row.get("output_size") or 0 for row in found] for name, found in every.items()})
    return Estimate(
        items=sample.count,
        objects=sample.objects,
        measured=len(measured),
        measured_objects=len({row["key"] for row in measured}),
        failed=sum(row["status"] not in NO_FAILURES for row in measured),
        seconds=seconds * (1 / machine.stylizers) + machine.start_s,
        bytes_out=size,
        machine=machine,
        prices=prices,
    )


def _busy(row: Row) -> float:
    """Seconds that an item keeps a stylizer."""
    return row.get("stylize_s") or 0.0


def _warm(rows: list[Row]) -> list[Row]:
    """Without each worker's first."""
    first: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: row["finished"]):
        first.setdefault(row["worker"], row)
    return [row for row in rows if all(row is not other for other in first.values())]


def _by_class(rows: list[Row]) -> dict[int, list[Row]]:
    classes: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        classes[size_class(row["listed"])].append(row)
    return classes


def _total(sample: SizeSample, values: Mapping[int, list[float]]) -> Span:
    """The sum over all items; a class of which one item alone was measured is as uneven as the others are."""
    uneven = [stdev(found) / fmean(found) for found in values.values() if len(found) > 1 and fmean(found) > 0]
    usual = fmean(uneven) if uneven else 0.5
    total = variance = 0.0
    for name, one in sample.classes.items():
        found = values.get(name)
        if not found:  # its object was gone: it costs nothing
            continue
        deviation = stdev(found) if len(found) > 1 else usual * fmean(found)
        total += one.items * fmean(found)
        left = max(0.0, 1 - len(found) / one.items)
        variance += (one.items * deviation) ** 2 / len(found) * left
    return Span(value=total, spread=WIDE * math.sqrt(variance))
