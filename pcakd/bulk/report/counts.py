"""What a report shows beside the totals: times, statuses of each style, the slowest; fed a part at a time.

Memory does not grow with the job.
"""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pcakd.bulk.schema import STEPS
from pcakd.photos.outcomes import OK

SLOWEST = 1000
MOST_STYLES = 1000
"""Styles that are counted each; a manifest may name any number."""

BINS_PER_DOUBLING = 8
FASTEST_S = 2.0**-12
BIN_EDGES = FASTEST_S * 2.0 ** (np.arange(24 * BINS_PER_DOUBLING + 1) / BINS_PER_DOUBLING)
"""0.24 ms to 68 minutes in steps of 9 %: fine enough for quantiles."""

MOST_BUCKETS = 4096


class Timeline:
    """Objects finished in each stretch of time; the stretches widen as the job gets longer."""

    def __init__(self) -> None:
        self.width = 1000
        self.buckets: Counter[tuple[int, bool]] = Counter()
        self.runs: dict[str, tuple[int, int]] = {}

    def add(self, finished_ms: np.ndarray, ok: np.ndarray, runs: np.ndarray) -> None:
        """finished_ms: int64, milliseconds since 1970; ok: bool; runs: names; all (n,)."""
        for run in np.unique(runs):
            times = finished_ms[runs == run]
            first, last = self.runs.get(str(run), (times[0], times[0]))
            self.runs[str(run)] = int(min(first, times.min())), int(max(last, times.max()))
        for good in (True, False):
            places, counts = np.unique(finished_ms[ok == good] // self.width, return_counts=True)
            for place, count in zip(places.tolist(), counts.tolist(), strict=True):
                self.buckets[place, good] += count
        while len(self.buckets) > MOST_BUCKETS:
            self.width *= 2
            wider: Counter[tuple[int, bool]] = Counter()
            for (place, good), count in self.buckets.items():
                wider[place // 2, good] += count
            self.buckets = wider

    def to_json(self) -> dict[str, Any]:
        """{"bucket_s", "buckets": [[start in s since 1970, ok, failed], ...], "runs": [[first, last in s], ...]}.

        Empty buckets are left out.
        """
        starts = sorted({place for place, _ in self.buckets})
        return {
            "bucket_s": self.width / 1000,
            "buckets": [
                [start * self.width / 1000, self.buckets[start, True], self.buckets[start, False]] for start in starts
            ],
            "runs": [[first / 1000, last / 1000] for first, last in sorted(self.runs.values())],
        }


class RowCounts:
    """Sums over rows of a job's ledger."""

    def __init__(self) -> None:
        self.status: Counter[str] = Counter()
        self.passing: Counter[str] = Counter()
        self.styles: dict[str, Counter[str]] = {}
        self.times = np.zeros(len(BIN_EDGES) - 1, np.int64)
        self.longest = 0.0
        self.timeline = Timeline()
        self.slowest: pa.Table | None = None

    def add(self, rows: pa.Table) -> None:
        """rows: of ROW_SCHEMA, one an item."""
        if not len(rows):
            return
        status = rows["status"].to_pylist()
        self.status.update(status)
        self.passing.update(rows.filter(pc.fill_null(rows["passing"], False))["status"].to_pylist())
        for style, count in Counter(zip(rows["style"].to_pylist(), status, strict=True)).items():
            self._count_style(*style, count)
        ok = pc.fill_null(pc.equal(rows["status"], OK), False)
        self._add_times(rows.append_column("total_s", pa.array(_total(rows))), ok)

    def _count_style(self, style: str, status: str, count: int) -> None:
        if style in self.styles or len(self.styles) < MOST_STYLES:
            self.styles.setdefault(style, Counter())[status] += count

    def _add_times(self, rows: pa.Table, ok: Any) -> None:
        done = rows.filter(ok)["total_s"].to_numpy()
        if len(done):
            self.longest = max(self.longest, float(done.max()))
            places = np.searchsorted(BIN_EDGES, done, side="right").clip(1, len(self.times)) - 1
            self.times += np.bincount(places, minlength=len(self.times))
        known = rows.filter(pc.is_valid(rows["finished"]))
        good = pc.fill_null(pc.equal(known["status"], OK), False).to_numpy()
        moments = known["finished"].cast(pa.int64()).to_numpy()
        self.timeline.add(moments, good, np.array(known["run"].to_pylist(), dtype=str))
        joined = rows if self.slowest is None else pa.concat_tables([self.slowest, rows])
        order: Any = [("total_s", "descending"), ("key", "ascending")]
        self.slowest = joined.take(pc.select_k_unstable(joined, SLOWEST, order))

    def quantile(self, share: float) -> float:
        """Seconds within which this share of the good photos was done, to 9 %; 0.0 without any."""
        total = int(self.times.sum())
        if not total:
            return 0.0
        place = int(np.searchsorted(np.cumsum(self.times), share * total))
        return min(float(BIN_EDGES[place + 1]), self.longest)

    def to_json(self) -> dict[str, Any]:
        """Everything but the slowest objects, as plain values."""
        used = np.flatnonzero(self.times)
        first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
        return {
            "may_pass": dict(self.passing),
            "styles": {style: dict(counts) for style, counts in sorted(self.styles.items())},
            "seconds_per_photo": {
                "median": self.quantile(0.5),
                "p95": self.quantile(0.95),
                "longest": self.longest,
                "edges": BIN_EDGES[first : last + 1].tolist(),
                "counts": self.times[first:last].tolist(),
            },
            "timeline": self.timeline.to_json(),
        }


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """float64, absent values as 0."""
    return np.nan_to_num(pc.fill_null(column.cast(pa.float64()), 0.0).to_numpy())


def _total(rows: pa.Table) -> np.ndarray:
    return np.sum([_numbers(rows[f"{step}_s"]) for step in STEPS], axis=0)
