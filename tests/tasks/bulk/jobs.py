"""Bulk jobs small enough for tests: a random student, small photos, and what a job left behind."""

import io
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from pcakd import Stylizer
from pcakd.bulk.ledger import Snapshot
from pcakd.photos.images import FORMATS, encode_photo
from pcakd.storage import Storage
from pcakd.student.checkpoint import save_checkpoint
from tests.corpus import jpeg
from tests.models import random_checkpoint


def student(folder: Path) -> Path:
    """A small random student's file."""
    checkpoint, path = random_checkpoint(), folder / "student.safetensors"
    save_checkpoint(path, checkpoint.student, checkpoint.metadata)
    return path


def style(folder: Path) -> Path:
    path = folder / "evening.jpg"
    path.write_bytes(jpeg(1001))
    return path


def snapshot_of(dest: Storage) -> Snapshot:
    """The newest snapshot of the one job that wrote there. Raises ValueError while there is none."""
    [job] = set(dest.folders("_pcakd/")) - {"claims", "followed"}
    root = dest.sub(f"_pcakd/{job}")
    number = max(int(entry.key.split("/")[1]) for entry in root.list("snapshots/"))
    snapshot = Snapshot.read(root, number)
    if snapshot is None:
        raise ValueError(number)
    return snapshot


def final_rows(dest: Storage) -> dict[str, dict]:
    """Key → final row; every item has exactly one."""
    snapshot = snapshot_of(dest)
    rows = [row for part in range(snapshot.parts) for row in snapshot.final(part).to_pylist()]
    assert max(Counter((row["key"], row["style"]) for row in rows).values()) == 1
    assert len(rows) == snapshot.item_count
    return {row["key"]: row for row in rows}


def outputs(dest: Storage) -> dict[str, bytes]:
    """What lies at the destination beside ledgers."""
    keys = [entry.key for entry in dest.list() if not entry.key.startswith("_pcakd/")]
    with ThreadPoolExecutor(16) as threads:
        return dict(zip(keys, threads.map(dest.read, keys), strict=True))


def check_outputs(dest: Storage, rows: dict[str, dict]) -> None:
    """Every good object has exactly one whole output, as its row says, and nothing else is there."""
    found = outputs(dest)
    good = {row["output"]: row for row in rows.values() if row["status"] == "ok"}
    assert set(found) == set(good)
    for key, data in found.items():
        image = Image.open(io.BytesIO(data))
        image.load()
        assert image.size == (good[key]["width"], good[key]["height"])
        assert len(data) == good[key]["output_size"]


def expected(model: Path, style: Path, photo: bytes, output: str, **options) -> bytes:
    """The library's own result."""
    stylizer = Stylizer.load(model)
    image = stylizer.stylize(photo, stylizer.style(style), **options)
    return encode_photo(image, FORMATS[Path(output).suffix.lower()], quality=95)
