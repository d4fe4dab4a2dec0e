"""Exact eigenbases against the paper's released ones: relative reconstruction error on photos not fitted on.

    python benchmarks/bases_vs_released.py ASSETS [--photos N]

ASSETS holds `photos_train/`, `teachers/` and `released/`. Two thirds of the photos, chosen by a hash of their
names, fit; the rest measure. One pass, one process. Prints the table of docs/eigenbases.md.
"""

import argparse
import hashlib
import os
import time
from pathlib import Path

import torch

from pcakd.eigenbases.extraction import accumulate
from pcakd.eigenbases.pca import Widths, fit, unexplained
from pcakd.photos.images import read_photo
from pcakd.student.checkpoint import read_tensors
from pcakd.student.network import DEFAULT_CHANNELS
from pcakd.teacher import load_teacher


def is_held_out(path: Path) -> bool:
    return hashlib.sha256(path.name.encode()).digest()[0] % 3 == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assets", type=Path)
    parser.add_argument("--photos", type=int, default=None, help="use only so many photos")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    os.environ["PCAKD_TEACHERS"] = str(arguments.assets / "teachers")
    paths = sorted((arguments.assets / "photos_train").glob("*.jpg"))[: arguments.photos]
    parts = [[p for p in paths if not is_held_out(p)], [p for p in paths if is_held_out(p)]]
    print("| teacher | level | k of C | released | exact PCA | orthonormal optimum there | explained in fit |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, backbone in (("vgg19-normalised", "vgg"), ("mobilenet-v1", "mobilenet")):
        teacher = load_teacher(name)
        released = read_tensors(arguments.assets / "released" / f"{backbone}.safetensors")[0]
        started = time.perf_counter()
        fitted, _ = accumulate(((p.name, read_photo(p).rgb) for p in parts[0]), teacher)
        seconds = time.perf_counter() - started
        held_out, _ = accumulate(((p.name, read_photo(p).rgb) for p in parts[1]), teacher)
        bases = fit(fitted, Widths(channels=DEFAULT_CHANNELS[backbone]))
        best = fit(held_out, Widths(channels=DEFAULT_CHANNELS[backbone]))
        for level, (basis, optimum) in enumerate(zip(bases.bases, best.bases, strict=True)):
            covariance = held_out.covariance(level)
            errors = [unexplained(covariance, b) for b in (released[f"eigenbases.{level}"], basis, optimum)]
            c, k = basis.shape
            cells = " | ".join(f"{error:.4f}" for error in errors)
            print(f"| {name} | {level} | {k} of {c} | {cells} | {bases.explained[level][k - 1]:.3f} |", flush=True)
        shares = (0.8, 0.85, 0.9, 0.95)
        widths = {share: fit(fitted, Widths(variance=share)).channels for share in shares}
        print(
            f"\n{name}: fitted on {fitted.photos} photos in one pass of {seconds:.0f} s, "
            f"measured on {held_out.photos}; widths by variance {widths}\n",
            flush=True,
        )


if __name__ == "__main__":
    main()
