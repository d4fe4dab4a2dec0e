"""Ledgers to report on, made up: rows of the real schema, and photos where the rows say they are."""

import io
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from pcakd.bulk.report import Report, RunInfo, write_report
from pcakd.bulk.schema import ITEM_SCHEMA, ROW_SCHEMA
from pcakd.bulk.totals import Totals
from pcakd.photos.outcomes import OK
from pcakd.storage import LocalStorage, Storage

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOSTILE = [
    "<script>alert(1)</script>.jpg",
    "\"'><img src=x onerror=alert(2)>.jpg",
    "{{ 7 * 7 }}{% raw %}&amp;.jpg",
    "\u202egpj.exe\u202c\x07\x1b[31m\n\t.jpg",
    "שלום/عربي 写真 🏞.jpg",
    "javascript:alert(3)/a b?c=d#e%41.jpg",
]


def photo(seed: int, size: tuple[int, int] = (96, 64)) -> bytes:
    """A JPEG of soft colours."""
    pixels = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG")
    return buffer.getvalue()


def row(key: str, number: int, **changes: Any) -> dict[str, Any]:
    """A row of ROW_SCHEMA; ok unless `changes` say otherwise."""
    values: dict[str, Any] = {
        "key": key, "etag": "e", "size": 1000 + number, "style": "evening", "output": f"out-{number}.jpg",
        "status": OK, "passing": False, "sha256": "0" * 64, "output_size": 2000, "width": 96, "height": 64,
        "fetch_s": 0.01, "decode_s": 0.02, "stylize_s": 0.1 * (1 + number % 7), "encode_s": 0.02, "put_s": 0.01,
        "run": "run-1", "worker": "host:1", "finished": START + timedelta(seconds=number), "model": "builtin:vgg",
    }  # fmt: skip
    values |= changes
    if values["status"] != OK:
        absent = ("sha256", "output_size", "width", "height", "stylize_s", "encode_s", "put_s")
        values |= dict.fromkeys(absent) | {"error": "PhotoError"}
    return values


@dataclass
class MadeUp:
    """A snapshot of made-up rows: `items` listed, those beyond the rows are pending."""

    table: list[dict[str, Any]]
    items: int
    report: Storage
    part_items: int = 500
    read: list[str] = field(default_factory=list)

    @property
    def parts(self) -> int:
        return -(-self.items // self.part_items)

    def rows(self, part: int) -> pa.Table:
        return self._table(part, "rows")

    def final(self, part: int) -> pa.Table:
        return self._table(part, "final")

    def _table(self, part: int, kind: str) -> pa.Table:
        self.read.append(kind)
        return pa.Table.from_pylist(self.table[part * self.part_items :][: self.part_items], ROW_SCHEMA)

    def totals(self) -> Totals:
        rows = pa.Table.from_pylist(self.table, ROW_SCHEMA)
        listed = [{**r, "size": r["size"] or 0, "etag": ""} for r in self.table]
        extra = row("never reached", 0)
        items = pa.Table.from_pylist(listed + [extra] * (self.items - len(listed)), ITEM_SCHEMA)
        return Totals.of_part(items, rows)


def info(**changes: Any) -> RunInfo:
    values: dict[str, Any] = {
        "job_id": "0123456789abcdef", "snapshot": 1, "run": "run-1", "started": START, "seconds": 100.0,
        "processed": 50, "workers": 2, "model": "builtin:vgg", "model_digest": "f" * 64,
        "options": {"transform": "zca", "strength": 0.8, "limit": None}, "styles": {"evening": [photo(99)]},
    }  # fmt: skip
    return RunInfo(**values | changes)


@dataclass
class Place:
    """Source and destination of a made-up job, in a folder."""

    folder: Path

    @property
    def source(self) -> LocalStorage:
        return LocalStorage(self.folder / "in")

    @property
    def dest(self) -> LocalStorage:
        return LocalStorage(self.folder / "out")

    def snapshot(self, table: list[dict[str, Any]], items: int | None = None, **changes: Any) -> MadeUp:
        """A snapshot of these rows; the photos of those that are ok are written."""
        for number, one in enumerate(table[:300]):
            if one["status"] == OK:
                for path, seed in ((f"in/{one['key']}", number), (f"out/{one['output']}", number + 1)):
                    (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
                    (self.folder / path).write_bytes(photo(seed))  # a storage would sync each to the disk
        folder = self.dest.sub("_pcakd/0123456789abcdef/snapshots/000001/report")
        return MadeUp(table, len(table) if items is None else items, folder, **changes)

    def write(self, snapshot: MadeUp, **changes: Any) -> Report:
        totals = snapshot.totals()
        return write_report(snapshot, totals, source=self.source, dest=self.dest, info=info(**changes))


def many_rows() -> list[dict[str, Any]]:
    """280 rows of all kinds, of two runs five hours apart, with hostile keys and messages."""
    table = [row(f"album/{number:04}.jpg", number) for number in range(280)]
    for number in range(5, 280, 17):
        words = f"album/{number:04}.jpg: is truncated or damaged (12 bytes not processed)"
        table[number] = row(f"album/{number:04}.jpg", number, status="truncated", message=words)
    for number in range(8, 280, 50):
        table[number] = row(
            f"album/{number:04}.jpg", number, status="unreachable", passing=True, message="gave up after 7 tries"
        )
    for key, number in zip(HOSTILE, range(100, 200, 11), strict=False):
        table[number] = row(key, number)
    for key, number in zip(HOSTILE, range(201, 280, 11), strict=False):
        table[number] = row(f"{key}x", number, status="not-an-image", message=key)
    for late in table[150:]:
        late |= {"finished": late["finished"] + timedelta(hours=5), "run": "run-2"}
    return table
