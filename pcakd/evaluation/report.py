"""What an evaluation leaves behind: tables for the terminal, a JSON record, sheets of pictures."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.table import Table

from pcakd.evaluation.evaluate import Row, intervals, means
from pcakd.evaluation.graded import Kind
from pcakd.evaluation.methods import Method
from pcakd.files import write_atomic
from pcakd.photos.grid import photo_grid
from pcakd.student.network import LEVELS

ROWS_A_SHEET = 8
CELL = (300, 225)  # width, height of one photo on a sheet, pixels


PAIRS_COLUMNS = {
    "ssim": "SSIM ↑",
    "edge_ssim": "edge SSIM ↑",
    "fsim": "FSIM ↑",
    "gram": "Gram ↓",
    "moments": "mean/std ↓",
    "histogram": "histogram ↑",
    "stray": "stray ↓",
    "roughness": "roughness ↓",
}
GRADED_COLUMNS = {"psnr": "PSNR ↑", "ssim": "SSIM ↑", "delta_e76": "ΔE76 ↓", "ciede2000": "ΔE00 ↓"}
DECIMALS = {"psnr": 2, "ciede2000": 2, "delta_e76": 2, "stray": 2, "roughness": 2}
"""Of a mean and of its interval; others have three."""


class Measured:
    """Means with their 95 % intervals, as cells of a table."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.means, self.intervals = means(rows), intervals(rows)

    def cell(self, method: str, metric: str) -> str:
        """0.703 ±0.021: the mean, and half the interval's width; "" for what was not measured."""
        if metric not in self.means[method]:
            return ""
        decimals = DECIMALS.get(metric, 3)
        low, high = self.intervals[method][metric]
        return f"{self.means[method][metric]:.{decimals}f} ±{(high - low) / 2:.{decimals}f}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("method")
    for name in columns:
        table.add_column(name, justify="right")
    return table


def pairs_table(rows: Sequence[Row], methods: Sequence[Method], title: str) -> Table:
    """Means over pairs with 95 % intervals, one line a method."""
    measured = Measured(rows)
    columns = {key: name for key, name in PAIRS_COLUMNS.items() if key in rows[0].scores}
    table = _table(title, "weights", *columns.values(), "s/MP ↓")
    for method in methods:
        weights = f"{method.parameters:,}" if method.parameters else ""
        seconds = f"{measured.means[method.name]['seconds_per_mp']:.3f}"
        table.add_row(method.name, weights, *(measured.cell(method.name, key) for key in columns), seconds)
    return table


def levels_table(rows: Sequence[Row], methods: Sequence[Method]) -> Table:
    """The style losses level by level."""
    found, keys = means(rows), [f"{loss}.{level}" for loss in ("gram", "moments") for level in range(LEVELS)]
    table = _table("level by level", *(key.replace("gram.", "Gram ").replace("moments.", "mean/std ") for key in keys))
    for method in methods:
        table.add_row(method.name, *(f"{found[method.name][key]:.4f}" for key in keys))
    return table


def graded_table(rows: Mapping[Kind, list[Row]], methods: Sequence[Method], title: str) -> Table:
    """Means over graded photos with 95 % intervals, one line a method, four columns a kind."""
    table = _table(title, *(f"{kind} {name}" for kind in rows for name in GRADED_COLUMNS.values()))
    measured = {kind: Measured(kind_rows) for kind, kind_rows in rows.items()}
    for method in methods:
        table.add_row(method.name, *(measured[kind].cell(method.name, key) for kind in rows for key in GRADED_COLUMNS))
    return table


def students_table(found: Mapping[str, Mapping[str, float]], title: str) -> Table:
    """What the students are by themselves, without any transfer; see `pcakd.distillation.students`."""
    table = _table(title, "reconstruction, dB ↑", *(f"unexplained {level} ↓" for level in range(LEVELS)))
    for name, values in found.items():
        shares = [values.get(f"unexplained.{level}") for level in range(LEVELS)]
        cells = ["" if share is None else f"{share:.3f}" for share in shares]
        table.add_row(name, f"{values['reconstruction']:.2f}", *cells)
    return table


def json_report(
    settings: Mapping[str, Any],
    methods: Sequence[Method],
    pairs: Sequence[Row] | None,
    graded: Mapping[Kind, list[Row]] | None,
    students: Mapping[str, Mapping[str, float]] | None = None,
) -> bytes:
    """Settings, methods, means with their 95 % intervals, and every single score, as JSON."""
    record: dict[str, Any] = {
        "settings": dict(settings),
        "methods": {m.name: {"parameters": m.parameters, **(m.details or {})} for m in methods},
    }
    if pairs is not None:
        record["pairs"] = _scores(pairs)
    if graded is not None:
        record["graded"] = {kind: _scores(rows) for kind, rows in graded.items()}
    if students is not None:
        record["students"] = {name: dict(values) for name, values in students.items()}
    return (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()


def _scores(rows: Sequence[Row]) -> dict[str, Any]:
    return {"means": means(rows), "intervals": intervals(rows), "rows": [row._asdict() for row in rows]}


def worst_pairs(rows: Sequence[Row], method: str, measure: str, count: int) -> list[str]:
    """Names of the pairs, at most so many, on which a method scored worst by a measure of pairs, worst first."""
    scores = {row.pair: row.scores[measure] for row in rows if row.method == method}
    return sorted(scores, key=lambda name: scores[name], reverse=PAIRS_COLUMNS[measure].endswith("↓"))[:count]


class Sheets:
    """Collects rows of photos and writes a JPEG for every `ROWS_A_SHEET` of them: `PREFIX-01.jpg`, …"""

    def __init__(self, folder: Path, prefix: str) -> None:
        self.folder, self.prefix = folder, prefix
        self.written: list[Path] = []
        self._header: list[str] = []
        self._rows: list[list[Image.Image]] = []

    def __call__(self, name: str, columns: Mapping[str, np.ndarray]) -> None:
        """Add one row; its name is the sheet's business only through the order."""
        self._header = list(columns)
        photos = [Image.fromarray(np.ascontiguousarray(photo)) for photo in columns.values()]
        for photo in photos:
            photo.thumbnail(CELL)
        self._rows.append(photos)
        if len(self._rows) == ROWS_A_SHEET:
            self.flush()

    def flush(self) -> None:
        """Write what has been collected, if anything."""
        if not self._rows:
            return
        buffer = io.BytesIO()
        photo_grid(self._rows, header=self._header, cell=CELL).save(buffer, "JPEG", quality=92)
        path = self.folder / f"{self.prefix}-{len(self.written) + 1:02d}.jpg"
        write_atomic(path, buffer.getvalue())
        self.written.append(path)
        self._rows = []


@contextmanager
def collected(folder: Path | None, prefix: str) -> Iterator[Sheets | None]:
    """Sheets whose last one is written when the block ends; None where no folder is given."""
    if folder is None:
        yield None
        return
    sheets = Sheets(folder, prefix)
    yield sheets
    sheets.flush()
