"""What a nightly run costs against the size of the dataset: 10 new photos, a simulated listing, all else as it is.

python -m benchmarks.nightly [OBJECTS ...]
"""

import io
import sys
import time
from collections.abc import Iterator
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
from tasks.shards.generation import Generation

NEW = 10
SHARD = "train/shard-000000.parquet"


def jpeg(seed: int) -> bytes:
    """A picture of 512×384 pixels."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((512, 384), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


class Simulated(LocalStorage):
    """So many objects that are listed, of which the last ones are there."""

    def __init__(self, root: Path, objects: int) -> None:
        super().__init__(root)
        self.objects = objects

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for number in range(self.objects + NEW):
            yield ObjectInfo(key=f"{number:09d}.jpg", size=100_000 + number % 50_000, etag=f"{number:064x}", mtime=0.0)

    def read_with_info(self, key: str) -> tuple[bytes, ObjectInfo]:
        number = int(key[:9])
        data = jpeg(number)
        return data, ObjectInfo(key=key, size=len(data), etag=f"{number:064x}", mtime=0.0)


def dataset(dest: LocalStorage, config: ShardConfig, objects: int) -> ShardDataset:
    """One whose table has so many photos. Its shard file has one: nothing reads the others."""
    photo = jpeg(0)
    row = {"key": "0", "image": photo, "width": 512, "height": 384, "source_uri": "", "source_etag": ""}
    write_shard(dest, SHARD, [row | {"sha256": sha256_hex(photo)}])
    numbers = range(objects)
    columns = {
        "key": [f"{number:09d}.jpg" for number in numbers],
        "size": [100_000 + number % 50_000 for number in numbers],
        "etag": [f"{number:064x}" for number in numbers],
        "mtime": [0.0] * objects,
        "status": ["ok"] * objects,
        "detail": [None] * objects,
        "split": ["train"] * objects,
        "source_width": [512] * objects,
        "source_height": [384] * objects,
        "bytes": [60_000] * objects,
        "sha256": [f"{number + 1:064x}" for number in numbers],
        "source_sha256": [f"{number + 2:064x}" for number in numbers],
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


def main() -> None:
    sizes = [int(word) for word in sys.argv[1:]] or [1_000, 10_000, 100_000]
    print("| objects | nothing new, s | 10 new: listing and comparing, s | all else, s | fetched |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    with ray_cluster():
        for objects in sizes:
            with TemporaryDirectory(prefix="pcakd-nightly-") as folder:
                config = ShardConfig(source=f"{folder}/in", dest=f"{folder}/out", val_fraction=0)
                dest = LocalStorage(config.dest)
                base = dataset(dest, config, objects)
                seconds = []
                for source in (Simulated(Path(config.source), objects - NEW), Simulated(Path(config.source), objects)):
                    generation = Generation(config, source, dest, base, no_progress)
                    started = time.monotonic()
                    begun = generation.begin()
                    seconds.append(time.monotonic() - started)
                assert begun
                started = time.monotonic()
                generation.run()
                rest = time.monotonic() - started
                print(
                    f"| {objects:,} | {seconds[0]:.2f} | {seconds[1]:.2f} | {rest:.2f} | {generation.processed} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
