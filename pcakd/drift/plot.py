"""Drift as a picture."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from pcakd.shards.report import SIDE_EDGES


def draw_drift(record: Mapping[str, Any], title: str) -> bytes:
    """A PNG: principal angles and lost variance a level, mean colours, sizes. record: a manifest of drift."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    axes = figure.subplots(2, 2)
    compared = [one for one in (record.get("before"), record.get("champion")) if one]
    for place, one in enumerate(compared):
        levels = np.arange(len(one["levels"])) + 0.35 * place
        axes[0, 0].bar(levels, [level["angle"] for level in one["levels"]], 0.3, label=f"since {one['name']}")
        axes[0, 1].bar(levels, [100 * level["lost"] for level in one["levels"]], 0.3, label=f"since {one['name']}")
    axes[0, 0].set_title("largest principal angle, degrees, by level")
    axes[0, 1].set_title("variance that the older bases lose, %, by level")
    if compared:
        one = compared[0]
        for place, name in enumerate(("older", "new")):
            facts = one[name]
            if facts["colour"] is not None:
                axes[1, 0].bar(np.arange(3) + 0.35 * place, facts["colour"], 0.3, label=f"{name} photos")
            shares = np.array(facts["sides"]) / max(sum(facts["sides"]), 1)
            axes[1, 1].bar(np.arange(len(shares)) + 0.4 * place, shares, 0.4, label=f"{name} photos")
    axes[1, 0].set_xticks(range(3), ["red", "green", "blue"])
    axes[1, 0].set_title("mean colour, 0 to 255")
    axes[1, 1].set_xticks(range(len(SIDE_EDGES) - 1), [str(edge) for edge in SIDE_EDGES[:-1]], rotation=60)
    axes[1, 1].set_title("share of photos by shortest side, pixels")
    for one_axes in axes.flat:
        if one_axes.get_legend_handles_labels()[0]:
            one_axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
