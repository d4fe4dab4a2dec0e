"""Bars as inline SVG: colours come from the page's classes, so that they follow light and dark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

WIDTH, HEIGHT = 560, 216
FEWEST = 12
"""Columns that there is room for at least: a single one does not fill the picture."""
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 12, 36


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its parts from bottom to top as (class, amount), what a pointer on it is told, the tick below
    its left edge (empty: none); `gap`: time is left out before it."""

    parts: Sequence[tuple[str, float]]
    title: str
    tick: str = ""
    gap: bool = False


@dataclass(frozen=True, kw_only=True)
class Share:
    """A part of a bar."""

    name: str
    amount: float
    css: str = field(default="")


def columns(bars: Sequence[Column], *, label: str, unit: str) -> Markup:
    """A column chart. label: what it shows, for those who do not see it; unit: of the ticks below."""
    highest = max((sum(amount for _, amount in bar.parts) for bar in bars), default=0)
    ticks = _ticks(highest)
    top = ticks[-1] or 1
    wide = (WIDTH - LEFT - RIGHT) / max(FEWEST, len(bars))

    def y(amount: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * amount / top

    pieces = [Markup('<svg class="chart" role="img" viewBox="0 0 {} {}" aria-label="{}">').format(WIDTH, HEIGHT, label)]
    for tick in ticks:
        pieces.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{y:.1f}" y2="{y:.1f}"/>').format(
                LEFT, WIDTH - RIGHT, y=y(tick)
            )
        )
        pieces.append(Markup('<text class="y" x="{}" y="{:.1f}">{:,}</text>').format(LEFT - 6, y(tick) + 4, tick))
    for place, bar in enumerate(bars):
        left, base = LEFT + place * wide, 0.0
        pieces.append(Markup("<g><title>{}</title>").format(bar.title))
        for css, amount in bar.parts:
            if amount:
                pieces.append(
                    Markup('<rect class="{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"/>').format(
                        css, left + wide * 0.04, y(base + amount), wide * 0.92, y(base) - y(base + amount)
                    )
                )
            base += amount
        pieces.append(Markup("</g>"))
        if bar.gap:
            pieces.append(
                Markup('<line class="gap" x1="{x:.2f}" x2="{x:.2f}" y1="{}" y2="{}"/>').format(
                    TOP, HEIGHT - BOTTOM + 4, x=left
                )
            )
        if bar.tick:
            pieces.append(
                Markup('<text class="x" x="{:.2f}" y="{}">{}</text>').format(left, HEIGHT - BOTTOM + 16, bar.tick)
            )
    pieces.append(Markup('<text class="unit" x="{}" y="{}">{}</text>').format(WIDTH - RIGHT, HEIGHT - 5, unit))
    return Markup("").join([*pieces, Markup("</svg>")])


def share_bar(shares: Sequence[Share], *, label: str) -> Markup:
    """One bar of 100 % in parts."""
    total = sum(share.amount for share in shares) or 1.0
    pieces = [
        Markup('<svg class="share" role="img" viewBox="0 0 100 5" preserveAspectRatio="none" aria-label="{}">').format(
            label
        )
    ]
    left = 0.0
    for share in shares:
        wide = 100 * share.amount / total
        if wide:
            pieces.append(
                Markup(
                    '<g><title>{}: {:.1f} %</title><rect class="{}" x="{:.3f}" width="{:.3f}" height="5"/></g>'
                ).format(share.name, wide, share.css, left, wide)
            )
        left += wide
    return Markup("").join([*pieces, Markup("</svg>")])


def _ticks(highest: float) -> list[int]:
    """0 and up to five round steps, the last at or above the highest; whole numbers."""
    if highest <= 0:
        return [0]
    rough = max(highest / 4, 1.0)
    size = 10 ** math.floor(math.log10(rough))
    step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= rough)
    return [round(step * place) for place in range(math.ceil(highest / step) + 1)]
