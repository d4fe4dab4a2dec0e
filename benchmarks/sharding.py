"""How fast sharding is, and where its time goes. Run: python -m benchmarks.sharding [--photos N]

Makes N different 1920×1080 JPEGs (quality 90) in a temporary folder, then shards them to local disk, in this
process on one core (`tasks.shards.part.run_part`, then packing: what Ray's workers do), in turn with the
codecs alone on the same bytes: decode, resize to shortest side 512, encode. The ratio of the two is the
pipeline's own overhead; taking turns keeps a busy machine from favouring either. CPU time of the process is
what is compared (waiting for a core that others use is no overhead); wall time is printed beside it.
With --ray also the whole of `shard_dataset` on a local Ray with --cpus CPUs.
"""

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pcakd.shards import ShardConfig
from pcakd.shards.plan import Photos, cut_into_parts, first_of_each, lay_into_shards
from pcakd.shards.prepare import prepare_photo
from pcakd.storage import LocalStorage
from tasks.shards.pack import pack_shard
from tasks.shards.part import PartJob, run_part

PART = 32


def make_photos(folder: Path, count: int) -> list[Path]:
    """`count` different photographs, 1920×1080."""
    from tests.corpus import jpeg

    paths = [folder / f"{number:05d}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(jpeg(number, 1080, 1920))
    return paths


@contextmanager
def measured(into: dict[str, float]) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    into["wall"] += time.perf_counter() - wall
    into["cpu"] += time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=192)
    parser.add_argument("--ray", action="store_true", help="also run the whole job on Ray")
    parser.add_argument("--cpus", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pcakd-benchmark-") as name:
        folder = Path(name)
        (folder / "source").mkdir()
        paths = make_photos(folder / "source", arguments.photos)
        size = sum(path.stat().st_size for path in paths)
        print(f"{len(paths)} photos of 1920×1080, {size / len(paths) / 1e3:.0f} kB each, to shortest side 512")
        one_core(folder, paths)
        if arguments.ray:
            on_ray(folder, arguments.cpus)


def one_core(folder: Path, paths: list[Path]) -> None:
    source, work, dest = (LocalStorage(folder / name) for name in ("source", "dest/_work", "dest"))
    job = PartJob(source=source, work=work, shortest_side=512, quality=95, val_fraction=0.05, max_pixels=1 << 28)
    contents = {path.name: path.read_bytes() for path in paths}
    pipeline: dict[str, float] = defaultdict(float)
    codecs: dict[str, float] = defaultdict(float)
    steps: dict[str, float] = defaultdict(float)
    alone: dict[str, float] = defaultdict(float)
    results = []
    for part in cut_into_parts(source.list(), PART):
        with measured(codecs):
            for entry in part.entries:
                photo = prepare_photo(contents[entry.key], name=entry.key, shortest_side=512)
                for step, spent in photo.seconds.items():
                    alone[step] += spent
        with measured(pipeline):
            result = run_part(job, part)
        results.append(result)
        for step, spent in result.seconds.items():
            steps[step] += spent
    with measured(pipeline):
        photos = Photos.joined([Photos.of_part(result.number, result.outcome) for result in results])
        keep = first_of_each(photos, np.zeros(0, "S32")) == np.arange(len(photos))
        plans, _ = lay_into_shards(photos, keep, 128 * 10**6, {})
        packing = time.perf_counter()
        for plan in plans:
            pack_shard(dest, work, plan, False)
        steps["pack"] = time.perf_counter() - packing
    count = len(paths)
    print(f"pipeline on one core: {rates(count, pipeline)}")
    print(f"codecs alone:         {rates(count, codecs)}")
    total = steps["all"] + steps["pack"]
    shares = {step: steps[step] for step in ("decode", "resize", "encode")}
    shares["I/O"] = steps["fetch"] + steps["write"] + steps["pack"]
    shares["other"] = total - sum(shares.values())
    print("share of wall time:   " + ", ".join(f"{step} {spent / total:.1%}" for step, spent in shares.items()))
    print("codecs, ms a photo:   " + ", ".join(f"{step} {spent / count * 1e3:.1f}" for step, spent in alone.items()))
    cpu, wall = (pipeline[clock] / codecs[clock] - 1 for clock in ("cpu", "wall"))
    print(f"overhead: {cpu:.1%} of the codecs' CPU time ({wall:.1%} of their wall time)")


def rates(count: int, seconds: dict[str, float]) -> str:
    return f"{count / seconds['cpu']:.1f} photos/s of CPU time, {count / seconds['wall']:.1f} of wall time"


def on_ray(folder: Path, cpus: int) -> None:
    from tasks.cluster.attach import ray_cluster
    from tasks.shards import shard_dataset

    with ray_cluster(num_cpus=cpus):
        config = ShardConfig(source=str(folder / "source"), dest=str(folder / "ray"), part_objects=PART)
        report = shard_dataset(config)
    rate = report.processed / report.seconds
    print(
        f"on Ray, {cpus} CPUs:    {rate:.1f} photos/s of wall time, {rate / cpus:.1f} a CPU (workers' start included)"
    )


if __name__ == "__main__":
    main()
