"""What an evaluation leaves behind: tables for the terminal, a JSON record, sheets of pictures."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.table import Table

from pcakd.evaluation.evaluate import Row, means
from pcakd.evaluation.graded import Kind
from pcakd.evaluation.methods import Method
from pcakd.files import write_atomic
from pcakd.photos.grid import photo_grid
from pcakd.student.network import LEVELS

ROWS_A_SHEET = 8
CELL = (300, 225)  # width, height of one photo on a sheet, pixels


def pairs_table(rows: Sequence[Row], methods: Sequence[Method], title: str) -> Table:
    """Means over pairs, one line a method."""
    scores = means(rows)
    losses = "gram" in next(iter(scores.values()))
    table = Table(title=title, title_justify="left")
    table.add_column("method")
    names = ["weights", "SSIM ↑", "edge SSIM ↑"]
    if losses:
        names += ["Gram ↓", *(f"Gram {level}" for level in range(LEVELS)), "mean/std ↓"]
        names += [f"mean/std {level}" for level in range(LEVELS)]
    for name in [*names, "s/MP ↓"]:
        table.add_column(name, justify="right")
    for method in methods:
        s = scores[method.name]
        cells = [f"{method.parameters:,}" if method.parameters else "", f"{s['ssim']:.3f}", f"{s['edge_ssim']:.3f}"]
        if losses:
            keys = [key for loss in ("gram", "moments") for key in (loss, *(f"{loss}.{i}" for i in range(LEVELS)))]
            cells += [f"{s[key]:.4f}" for key in keys]
        table.add_row(method.name, *cells, f"{s['seconds_per_mp']:.3f}")
    return table


def graded_table(rows: Mapping[Kind, list[Row]], methods: Sequence[Method], title: str) -> Table:
    """Means over graded photos, one line a method, three columns a kind."""
    table = Table(title=title, title_justify="left")
    table.add_column("method")
    for kind in rows:
        for name in ("PSNR ↑", "SSIM ↑", "ΔE00 ↓"):
            table.add_column(f"{kind} {name}", justify="right")
    scores = {kind: means(kind_rows) for kind, kind_rows in rows.items()}
    for method in methods:
        cells = []
        for kind in rows:
            s = scores[kind][method.name]
            cells += [f"{s['psnr']:.2f}", f"{s['ssim']:.3f}", f"{s['ciede2000']:.2f}"]
        table.add_row(method.name, *cells)
    return table


def json_report(
    settings: Mapping[str, Any],
    methods: Sequence[Method],
    pairs: Sequence[Row] | None,
    graded: Mapping[Kind, list[Row]] | None,
) -> bytes:
    """Settings, methods, means and every single score, as JSON."""
    record: dict[str, Any] = {
        "settings": dict(settings),
        "methods": {m.name: {"parameters": m.parameters, **(m.details or {})} for m in methods},
    }
    if pairs is not None:
        record["pairs"] = {"means": means(pairs), "rows": [row._asdict() for row in pairs]}
    if graded is not None:
        record["graded"] = {
            kind: {"means": means(rows), "rows": [row._asdict() for row in rows]} for kind, rows in graded.items()
        }
    return (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()


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
