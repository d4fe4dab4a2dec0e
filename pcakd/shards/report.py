"""What a sharded dataset looks like: counts and histograms as JSON, and as a picture."""

import io
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from pcakd.photos.outcomes import OK, SHARD_STATUSES
from pcakd.units import shown_bytes

SIDE_EDGES = [0, 128, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192, 16384]
BYTES_EDGES = [0, *(1 << power for power in range(10, 31))]


class ObjectCounts:
    """Counts over the objects table, fed a piece at a time."""

    def __init__(self) -> None:
        self.status: Counter[str] = Counter()
        self.split: Counter[str] = Counter()
        self.source_bytes = 0
        self.photo_bytes = 0
        self.source_sides = np.zeros(len(SIDE_EDGES) - 1, np.int64)
        self.source_sizes = np.zeros(len(BYTES_EDGES) - 1, np.int64)
        self.photo_sizes = np.zeros(len(BYTES_EDGES) - 1, np.int64)

    def add(self, objects: pa.Table) -> None:
        """objects: rows of OBJECTS_SCHEMA."""
        self.status.update(_counted(objects["status"]))
        self.source_bytes += pa.compute.sum(objects["size"]).as_py() or 0
        kept = objects.filter(pa.compute.equal(objects["status"], OK))
        self.split.update(_counted(kept["split"]))
        sizes = kept["bytes"].to_numpy()
        self.photo_bytes += int(sizes.sum())
        sides = np.minimum(kept["source_width"].to_numpy(), kept["source_height"].to_numpy())
        self.source_sides += _histogram(sides, SIDE_EDGES)
        self.source_sizes += _histogram(objects["size"].to_numpy(), BYTES_EDGES)
        self.photo_sizes += _histogram(sizes, BYTES_EDGES)

    def to_json(self) -> dict[str, Any]:
        """Counts by status and split, bytes, histograms (edges and counts; the last bin is open)."""
        return {
            "objects": self.status.total(),
            "status": {name: self.status[name] for name in SHARD_STATUSES if self.status[name]},
            "split": dict(sorted(self.split.items())),
            "source_bytes": self.source_bytes,
            "photo_bytes": self.photo_bytes,
            "histograms": {
                "source_shortest_side": {"edges": SIDE_EDGES, "counts": self.source_sides.tolist()},
                "source_bytes": {"edges": BYTES_EDGES, "counts": self.source_sizes.tolist()},
                "photo_bytes": {"edges": BYTES_EDGES, "counts": self.photo_sizes.tolist()},
            },
        }


def _counted(column: pa.ChunkedArray) -> dict[str, int]:
    """Value → how often it is there."""
    return {found["values"]: found["counts"] for found in pa.compute.value_counts(column).to_pylist()}


def _histogram(values: np.ndarray, edges: list[int]) -> np.ndarray:
    return np.bincount(
        np.searchsorted(edges, values, side="right").clip(1, len(edges) - 1) - 1, minlength=len(edges) - 1
    )


def draw_overview(counts: dict[str, Any], photos: list[bytes]) -> bytes:
    """A PNG: statuses, histograms, and a contact sheet of the photos (encoded, up to 24).

    The same input gives the same bytes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 9), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    halves: Any = figure.subfigures(2, 1, height_ratios=[1, 1.6])
    top, bottom = halves
    left, middle, right = top.subplots(1, 3)
    names = list(counts["status"])
    bars = left.barh(names, [counts["status"][name] for name in names], color="#4878a8")
    left.bar_label(bars, fmt="{:,.0f}", padding=3)
    left.margins(x=0.2)
    left.invert_yaxis()
    left.set_title(f"{counts['objects']:,} objects by status")
    _draw_histogram(middle, counts["histograms"]["source_shortest_side"], "Shortest side of the source, pixels", str)
    _draw_histogram(right, counts["histograms"]["photo_bytes"], "Photo in the shard, bytes", shown_bytes)
    _draw_contact_sheet(bottom, photos)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw_histogram(axes: Any, histogram: dict[str, list[int]], title: str, label: Any) -> None:
    counts, edges = np.array(histogram["counts"]), histogram["edges"]
    used = np.flatnonzero(counts)
    first, last = (used[0], used[-1] + 1) if len(used) else (0, 1)
    axes.bar(
        [label(edge) for edge in edges[first:last]], counts[first:last], width=1.0, align="edge", edgecolor="white"
    )
    axes.tick_params(axis="x", rotation=60)
    axes.set_title(title)


def _draw_contact_sheet(figure: Any, photos: list[bytes]) -> None:
    from PIL import Image

    grid = figure.subplots(3, 8, squeeze=True)
    for axes in grid.flat:
        axes.axis("off")
    for axes, data in zip(grid.flat, photos, strict=False):
        photo = Image.open(io.BytesIO(data))
        photo.thumbnail((180, 180))
        axes.imshow(np.asarray(photo))
