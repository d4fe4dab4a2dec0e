"""What fitting eigenbases costs beside the teacher's forward pass, and how it scales to a second worker.

    python benchmarks/eigenbases.py PHOTOS [--teachers vgg19-normalised mobilenet-v1]

PHOTOS is a folder of photographs; PCAKD_TEACHERS names the teachers' weights.

1. Cost: one process, one thread, 256-pixel crops. For each photo in turn the forward pass, then the reduction to
   moments (own spectrum of 1 photo in 16), and for each piece of 32 photos what its sum costs: pickling, unpickling,
   adding. CPU seconds of this process, so that other load on the machine counts little. Ratio of the totals.
2. Scaling: two Ray actors of one thread, started and warm; passes over the same pieces by one and by both,
   alternating. Wall seconds; median ratio. Needs two idle CPUs to mean anything, and photos that make an even
   number of pieces of 32: three pieces for two workers can at best be 1.67 times as fast.
"""

import argparse
import os
import pickle
import statistics
import tempfile
import time
from pathlib import Path


def cost(name: str, paths: list[Path]) -> None:
    from collections import Counter

    import torch

    from pcakd.eigenbases.extraction import Extraction, _draw, cut_photos, to_tensor
    from pcakd.eigenbases.pca import Moments
    from pcakd.photos.images import read_photo
    from pcakd.teacher import load_teacher

    torch.set_num_threads(1)
    teacher, extraction = load_teacher(name), Extraction()
    cuts = list(cut_photos(((p.name, read_photo(p).rgb) for p in paths), extraction, teacher.multiple, Counter()))
    sample = [_draw(cut.key) % extraction.spectrum_every == 0 for cut in cuts]
    total = Moments.zeros(teacher.channels)
    piece = Moments.zeros(teacher.channels)
    forward = reduce = merge = 0.0
    with torch.no_grad():
        teacher.features(to_tensor([cuts[0].rgb], torch.device("cpu")))
        Moments.zeros(teacher.channels).update(teacher.features(to_tensor([cuts[0].rgb], torch.device("cpu"))))
        for i, cut in enumerate(cuts):
            photo = to_tensor([cut.rgb], torch.device("cpu"))
            t0 = time.process_time()
            features = teacher.features(photo)
            t1 = time.process_time()
            piece.update(features, sample=[sample[i]])
            t2 = time.process_time()
            forward, reduce = forward + t1 - t0, reduce + t2 - t1
            if i % 32 == 31:
                t0 = time.process_time()
                total = total + pickle.loads(pickle.dumps(piece))
                merge += time.process_time() - t0
                piece = Moments.zeros(teacher.channels)
    n = len(cuts)
    print(
        f"{name}: per photo forward {1e3 * forward / n:.2f} ms, reduce {1e3 * reduce / n:.2f} ms, "
        f"merge {1e3 * merge / n:.3f} ms; accumulate and merge are {(reduce + merge) / forward:.1%} of forward "
        f"({n} photos, {sum(sample)} own spectra)",
        flush=True,
    )


def scaling(name: str, paths: list[Path], rounds: int) -> None:
    from pcakd.eigenbases.extraction import Extraction
    from pcakd.shards import ShardConfig, open_dataset
    from pcakd.teacher import load_teacher
    from tasks.cluster.attach import ray_cluster
    from tasks.eigenbases.extractor import Pool, extractors
    from tasks.eigenbases.job import collect_moments
    from tasks.eigenbases.pieces import cut_into_pieces, shards_of
    from tasks.shards import shard_dataset

    with tempfile.TemporaryDirectory() as folder, ray_cluster(num_cpus=2):
        source, dest = Path(folder) / "photos", Path(folder) / "shards"
        source.mkdir()
        for path in paths:
            (source / path.name).symlink_to(path.resolve())
        shard_dataset(ShardConfig(source=str(source), dest=str(dest), val_fraction=0.0))
        dataset = open_dataset(str(dest))
        pieces = cut_into_pieces(shards_of(dataset, "train"))
        with extractors(load_teacher(name), dataset.storage, Extraction(), workers=2) as pool:
            collect_moments(pool, pieces[:2])
            seconds: dict[int, list[float]] = {1: [], 2: []}
            for _ in range(rounds):
                for workers in (1, 2):
                    started = time.perf_counter()
                    collect_moments(Pool(pool.actors[:workers], pool.teacher), pieces)
                    seconds[workers].append(time.perf_counter() - started)
        ratios = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
        print(
            f"{name}: {dataset.count('train')} photos in {len(pieces)} pieces; one worker "
            f"{statistics.median(seconds[1]):.1f} s, two {statistics.median(seconds[2]):.1f} s; "
            f"speed-up {statistics.median(ratios):.2f} (median of {', '.join(f'{r:.2f}' for r in ratios)}); "
            f"load average {os.getloadavg()[0]:.1f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--teachers", nargs="+", default=["vgg19-normalised", "mobilenet-v1"])
    parser.add_argument("--cost-photos", type=int, default=64)
    parser.add_argument("--scaling-photos", type=int, default=512, help="with MobileNet; a quarter of it with VGG")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["cost", "scaling"])
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    paths = sorted(p for p in arguments.photos.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    for name in arguments.teachers:
        if arguments.only != "scaling":
            cost(name, paths[: arguments.cost_photos])
    for name in arguments.teachers:
        if arguments.only != "cost":
            share = 1 if "mobilenet" in name else 4
            scaling(name, paths[: arguments.scaling_photos // share], arguments.rounds)


if __name__ == "__main__":
    main()
