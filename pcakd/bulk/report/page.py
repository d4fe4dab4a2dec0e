"""The report as one HTML page: no script, nothing loaded, every value escaped."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from pcakd.bulk.report.charts import Column, Share, columns, share_bar
from pcakd.bulk.report.sample import Example, Picture
from pcakd.bulk.report.template import page_environment
from pcakd.bulk.schema import STEPS
from pcakd.photos.outcomes import BULK_STATUSES, LEFT_OUT, OK, PENDING
from pcakd.units import shown_bytes

TO_DEST = "../" * 5
"""From `_pcakd/<job id>/snapshots/<n>/report/` to the destination."""
MOST_COLUMNS = 64
LONG_BREAK_S, BREAKS = 60.0, 7
"""Idle time between runs that is left out of the picture, and how often at the most."""
STYLES_SHOWN = 50


def render(
    report: dict[str, Any],
    *,
    examples: Sequence[Example],
    styles: Sequence[Picture],
    failures: dict[str, list[dict[str, Any]]],
    slowest: Sequence[dict[str, Any]],
) -> str:
    """The page. report: as report.json has it; failures: status → the first failed rows; slowest: rows with total_s."""
    environment = page_environment("pcakd.bulk.report")
    environment.filters |= {
        "number": lambda value: f"{value:,}",
        "size": shown_bytes,
        "span": span,
        "css": css,
        "percent": percent,
        "href": lambda key: TO_DEST + quote(key),
    }
    return environment.get_template("report.html.j2").render(
        **report,
        headline=headline(report),
        meaning=BULK_STATUSES,
        ok=OK,
        pending=PENDING,
        steps=STEPS,
        examples=examples,
        style_pictures=styles,
        failures=failures,
        slowest=slowest,
        styles_shown=STYLES_SHOWN,
        status_bar=_status_bar(report["totals"]),
        step_bar=_step_bar(report["totals"]["seconds"]),
        times_chart=_times_chart(report["seconds_per_photo"]),
        timeline_chart=_timeline_chart(report["timeline"]),
    )


def headline(report: dict[str, Any]) -> str:
    """One sentence that says how it went."""
    totals = report["totals"]
    good, failed, pending = totals["status"].get(OK, 0), report["failed"], totals["status"].get(PENDING, 0)
    words = [f"{good:,} of {totals['items']:,} {'photos' if not report['several'] else 'results'} made"]
    if left_out := totals["status"].get(LEFT_OUT, 0):
        words.append(f"{left_out:,} left out that are no photos")
    if failed:
        words.append(f"{failed:,} failed")
    if pending:
        words.append(f"{pending:,} not reached")
    return ", ".join(words)


def css(status: str) -> str:
    """The class that colours a status."""
    return {OK: "good", PENDING: "rest", LEFT_OUT: "rest"}.get(status, "bad")


def span(seconds: float) -> str:
    """A length of time to three digits or so."""
    if 0 < seconds < 0.001:
        return "< 1 ms"
    if seconds < 0.0995:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 99.5:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def percent(part: float, whole: float) -> str:
    """Never 100 % for less than all, nor 0 % for more than none."""
    if not whole or not part:
        return "0 %"
    if part == whole:
        return "100 %"
    return f"{min(99.9, max(0.1, 100 * part / whole)):.1f} %"


def _status_bar(totals: dict[str, Any]) -> Markup:
    shares = [Share(name=name, amount=count, css=css(name)) for name, count in totals["status"].items()]
    order = ["good", "bad", "rest"]
    shares.sort(key=lambda share: order.index(share.css))
    label = ", ".join(f"{share.name} {percent(share.amount, totals['items'])}" for share in shares)
    return share_bar(shares, label=f"Shares by status: {label}")


def _step_bar(seconds: dict[str, float]) -> Markup:
    shares = [Share(name=name, amount=seconds[name], css=f"step-{name}") for name in STEPS]
    whole = sum(seconds.values())
    label = ", ".join(f"{share.name} {percent(share.amount, whole)}" for share in shares)
    return share_bar(shares, label=f"Where the workers' time went: {label}")


def _times_chart(times: dict[str, Any]) -> Markup:
    """Histogram over seconds a photo on a logarithmic axis: fine bins joined to at most 24 columns."""
    edges, counts = times["edges"], times["counts"]
    step = max(2, math.ceil(len(counts) / 24))
    bars = []
    for start in range(0, len(counts), step):
        low, high = edges[start], edges[min(start + step, len(counts))]
        count = sum(counts[start : start + step])
        tick = (
            span(low) if len(counts) <= 4 * step or (start // step) % max(1, round(len(counts) / step / 6)) == 0 else ""
        )
        bars.append(Column(parts=[("good", count)], title=f"{span(low)} to {span(high)}: {count:,}", tick=tick))
    return columns(bars, label="How many took how long", unit="time of each, logarithmic")


def _timeline_chart(timeline: dict[str, Any]) -> Markup:
    """Columns over the time that runs were at it; idle time between runs is left out and marked."""
    buckets, width = timeline["buckets"], timeline["bucket_s"]
    stretches = _stretches(timeline["runs"], width)
    busy = sum(last - first + width for first, last in stretches)
    wide = max(1, math.ceil(busy / MOST_COLUMNS / width)) * width
    sums: dict[tuple[int, int], list[int]] = {}
    for start, good, bad in buckets:
        stretch = next(place for place, (_, last) in enumerate(stretches) if start <= last)
        cell = sums.setdefault((stretch, int((start - stretches[stretch][0]) // wide)), [0, 0])
        cell[0] += good
        cell[1] += bad
    cells = [
        (stretch, place)
        for stretch, (first, last) in enumerate(stretches)
        for place in range(int((last - first) // wide) + 1)
    ]
    every = math.ceil(len(cells) / 5)
    one_day = busy and stretches[-1][1] - stretches[0][0] < 86400
    bars = []
    for count, (stretch, place) in enumerate(cells):
        good, bad = sums.get((stretch, place), [0, 0])
        moment = datetime.fromtimestamp(stretches[stretch][0] + place * wide, UTC)
        failed = f", {bad:,} failed" if bad else ""
        tick = f"{moment:%H:%M:%S}" if one_day else f"{moment:%d %b %H:%M}"
        bars.append(
            Column(
                parts=[("good", good), ("bad", bad)],
                title=f"{moment:%Y-%m-%d %H:%M:%S} UTC, {span(wide)}: {good:,} made{failed}",
                tick=tick if count % every == 0 else "",
                gap=stretch > 0 and place == 0,
            )
        )
    label = f"How many were finished in each {span(wide)}"
    return columns(bars, label=label, unit=f"time (UTC), a column is {span(wide)}")


def _stretches(runs: Sequence[Sequence[float]], width: float) -> list[tuple[float, float]]:
    """(first, last) bucket starts of the stretches of time between the longest breaks. runs: (first, last) seconds."""
    spans = sorted((first // width * width, last // width * width) for first, last in runs)
    gaps: list[tuple[float, int]] = []
    reach = -math.inf
    for place, (first, last) in enumerate(spans):
        if place and first - reach > LONG_BREAK_S:
            gaps.append((first - reach, place))
        reach = max(reach, last)
    cuts = sorted(place for _, place in sorted(gaps, reverse=True)[:BREAKS])
    groups = [spans[start:end] for start, end in zip([0, *cuts], [*cuts, len(spans)], strict=True)]
    return [(group[0][0], max(last for _, last in group)) for group in groups if group]
