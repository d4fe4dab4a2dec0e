"""What a nightly run costs against the size of the dataset: 10 new photos, a simulated listing, all else as it is.

python -m benchmarks.nightly [OBJECTS ...]

Seconds are of the wall, but for the CPU's in the last column; megabytes are those that the run writes.
"""

import io
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
from PIL import Image

from pcakd.shards import ShardConfig, ShardDataset
from pcakd.shards.schema import OBJECTS_SCHEMA
from pcakd.shards.tables import write_shard
from pcakd.storage import LocalStorage, ObjectInfo, sha256_hex
from pcakd.storage.parquet import write_parquet
from pcakd.storage.stage import StageOutput
from tasks.cluster.attach import ray_cluster
from tasks.cluster.progress import no_progress
from tasks.shards import generation

NEW = 10
SHARD = "train/shard-000000.parquet"
HEAD = ("objects", "nothing new", "listing and comparing", "older photos and table", "all else")
HEAD += ("objects fetched", "MB of shards", "MB of tables", "CPU")


def jpeg(seed: int) -> bytes:
    """A picture of 512×384 pixels."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((512, 384), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def digest(kind: str, number: int) -> str:
    """As hard to compress as real ones."""
    return sha256_hex(f"{kind} {number}".encode())


class Simulated(LocalStorage):
    """So many objects that are listed, of which the last ones are there."""

    def __init__(self, root: Path, objects: int) -> None:
        super().__init__(root)
        self.objects = objects

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for number in range(self.objects + NEW):
            yield ObjectInfo(
                key=f"{number:09d}.jpg", size=100_000 + number % 50_000, etag=digest("etag", number)[:32], mtime=0.0
            )

    def read_with_info(self, key: str) -> tuple[bytes, ObjectInfo]:
        number = int(key[:9])
        data = jpeg(number)
        return data, ObjectInfo(key=key, size=len(data), etag=digest("etag", number)[:32], mtime=0.0)


def dataset(dest: LocalStorage, config: ShardConfig, objects: int) -> ShardDataset:
    """One whose table has so many photos. Its shard file has one: nothing reads the others."""
    photo = jpeg(0)
    row = {"key": "0", "image": photo, "width": 512, "height": 384, "source_uri": "", "source_etag": ""}
    write_shard(dest, SHARD, [row | {"sha256": sha256_hex(photo)}])
    numbers = range(objects)
    columns = {
        "key": [f"{number:09d}.jpg" for number in numbers],
        "size": [100_000 + number % 50_000 for number in numbers],
        "etag": [digest("etag", number)[:32] for number in numbers],
        "mtime": [0.0] * objects,
        "status": ["ok"] * objects,
        "detail": [None] * objects,
        "split": ["train"] * objects,
        "source_width": [512] * objects,
        "source_height": [384] * objects,
        "bytes": [60_000] * objects,
        "sha256": [digest("photo", number) for number in numbers],
        "source_sha256": [digest("source", number) for number in numbers],
        "red": [120.0] * objects,
        "green": [115.0] * objects,
        "blue": [105.0] * objects,
        "shard": [SHARD] * objects,
        "duplicate_of": [None] * objects,
    }
    write_parquet(dest, "objects.parquet", pa.table(columns, OBJECTS_SCHEMA), row_group_size=10_000)
    shard = {"file": SHARD, "rows": objects, "bytes": 60_000 * objects, "sha256": "0" * 64}
    output = StageOutput.at(dest, "shards", inputs={}, params=config.params())
    manifest = output.finish(
        {
            "generation": 0,
            "source": config.source,
            "status": {"ok": objects},
            "digest": "0",
            "objects": {"file": "objects.parquet"},
            "splits": {"train": {"rows": objects, "shards": [shard]}, "val": {"rows": 0, "shards": []}},
        }
    )
    return ShardDataset(dest, manifest)


def timed(name: str, seconds: dict[str, float]) -> None:
    """From now on it is counted how long a step of `tasks.shards.generation` takes."""
    step: Callable = getattr(generation, name)

    def call(*args: object, **options: object) -> object:
        started = time.monotonic()
        try:
            return step(*args, **options)
        finally:
            seconds[name] += time.monotonic() - started

    setattr(generation, name, call)


def written(dest: LocalStorage, since: float) -> tuple[float, float]:
    """Megabytes of shards, and of all else, that were written after a moment."""
    files = [path for path in dest.root.rglob("*") if path.is_file() and path.stat().st_mtime > since]
    shards = sum(path.stat().st_size for path in files if path.name.startswith("shard-"))
    return shards / 1e6, sum(path.stat().st_size for path in files) / 1e6 - shards / 1e6


def main() -> None:
    sizes = [int(word) for word in sys.argv[1:]] or [1_000, 10_000, 100_000]
    steps: dict[str, float] = defaultdict(float)
    growing = ("settle", "write_objects")
    for name in growing:
        timed(name, steps)
    print("| " + " | ".join(HEAD) + " |")
    print("|" + " ---: |" * len(HEAD))
    with ray_cluster():
        for objects in sizes:
            with TemporaryDirectory(prefix="pcakd-nightly-") as folder:
                config = ShardConfig(source=f"{folder}/in", dest=f"{folder}/out", val_fraction=0)
                dest = LocalStorage(config.dest)
                base = dataset(dest, config, objects)
                seconds: list[float] = []
                for source in (Simulated(Path(config.source), objects - NEW), Simulated(Path(config.source), objects)):
                    night = generation.Generation(config, source, dest, base, no_progress)
                    began, cpu, started = time.time(), time.process_time(), time.monotonic()
                    begun = night.begin()
                    seconds.append(time.monotonic() - started)
                assert begun
                steps.clear()
                started = time.monotonic()
                night.run()
                rest = time.monotonic() - started
                grown = sum(steps[name] for name in growing)
                shards, tables = written(dest, began)
                print(
                    f"| {objects:,} | {seconds[0]:.2f} | {seconds[1]:.2f} | {grown:.2f} | {rest - grown:.2f} "
                    f"| {night.processed} | {shards:.2f} | {tables:.2f} | {time.process_time() - cpu:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
