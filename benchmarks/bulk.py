"""What a bulk job costs beside the stylizing.
Run: python -m benchmarks.bulk [--objects 200 2000] [--size 1920x1080] [--render look full]

Makes JPEGs (quality 90; 50 different ones, then hard links of them) in a temporary folder, and runs
`pcakd stylize-bucket` from local disk to local disk, on a Ray of its own, once for each number of objects and each way
to render, by turns.

overhead  wall time ÷ (sum of the rows' stylize_s ÷ workers), from the first stylization's start to the last
          result's end: what fetching, decoding, encoding, writing, the ledger and Ray add to the stylizing.
work      the same beside all that workers do of themselves: decode, stylize, encode. With looks
          JPEG is part of what a photo costs.
start     until the first stylization begins: Python, model, listing, Ray, workers. end: final rows and report.
memory    peak over the run, sampled twice a second, of the driver and all it started, Ray's own daemons included:
          private (resident less shared: object store and libraries), and resident as it is, shared pages counted
          once for each process that has them.
look      of the stylizing by looks, measured once more in this process, one thread: deciding (the network and the
          fit) and slicing, milliseconds a photo.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil
import pyarrow as pa
import torch

from pcakd import Stylizer
from pcakd.bulk.ledger import Snapshot
from pcakd.photos.images import read_photo
from pcakd.storage import open_storage
from pcakd.stylize.look.slicing import load_kernel
from tasks.bulk.carried import Row
from tasks.bulk.pipeline import cut_into_blocks, items_of_a_block

DIFFERENT = 50


@dataclass
class Peak:
    """Bytes."""

    private: int = 0
    resident: int = 0


def make_photos(folder: Path, count: int, width: int, height: int) -> None:
    from tests.corpus import jpeg

    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:05d}.jpg"
        if number < DIFFERENT:
            path.write_bytes(jpeg(number, height, width))
        else:
            os.link(folder / f"{number % DIFFERENT:05d}.jpg", path)


def watch(process: subprocess.Popen, peak: Peak) -> None:
    """Sample the memory of a process and all below it until it ends."""
    while process.poll() is None:
        private = resident = 0
        with suppress(psutil.Error):
            root = psutil.Process(process.pid)
            for one in [root, *root.children(recursive=True)]:
                with suppress(psutil.Error):
                    memory = one.memory_info()
                    private += memory.rss - memory.shared
                    resident += memory.rss
        peak.private, peak.resident = max(peak.private, private), max(peak.resident, resident)
        time.sleep(0.5)


def run(source: Path, dest: Path, style: Path, render: str, arguments: argparse.Namespace) -> None:
    words = ["stylize-bucket", source, dest, "--style", style, "--model", arguments.model, "--render", render]
    words += ["--workers", arguments.workers]
    peak = Peak()
    began = time.time()
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *map(str, words)],
        env=os.environ | {"RAY_ADDRESS": "", "PCAKD_NUM_CPUS": str(arguments.cpus)},
        stdout=subprocess.DEVNULL,
    )
    thread = threading.Thread(target=watch, args=(process, peak))
    thread.start()
    if process.wait():
        sys.exit(f"the job ended with {process.returncode}")
    ended = time.time()
    thread.join()
    print(f"{render}: ", end="")
    show(dest, began, ended, peak, arguments.workers)


def show(dest: Path, began: float, ended: float, peak: Peak, workers: int) -> None:
    [ledger] = (path.parent for path in dest.glob("_pcakd/*/spec.json"))
    snapshot = Snapshot.read(open_storage(ledger), 1)
    assert snapshot is not None
    rows = [row for part in range(snapshot.parts) for row in snapshot.final(part).to_pylist()]
    assert all(row["status"] == "ok" for row in rows)
    first = min(started(block) for block in blocks_of(snapshot, rows, workers))
    last = max(row["finished"].timestamp() for row in rows)
    sums = {name: sum(row[f"{name}_s"] for row in rows) for name in ("fetch", "decode", "stylize", "encode", "put")}
    print(f"{len(rows)} objects, {workers} workers: {last - first:.1f} s, {len(rows) / (last - first):.2f} photos/s")
    work = sum(sums[name] for name in ("decode", "stylize", "encode"))
    print(f"  overhead    {(last - first) / (sums['stylize'] / workers):.3f}")
    print(f"  work        {(last - first) / (work / workers):.3f}")
    shares = (
        f"{name} {spent / len(rows) * 1e3:.1f} ({spent / sum(sums.values()):.0%})" for name, spent in sums.items()
    )
    print("  ms a photo  " + ", ".join(shares))
    print(f"  start       {first - began:.1f} s; end {ended - last:.1f} s; in all {ended - began:.1f} s")
    print(f"  memory      {peak.private / 1e6:,.0f} MB private, {peak.resident / 1e6:,.0f} MB resident", flush=True)


def blocks_of(snapshot: Snapshot, rows: list[Row], workers: int) -> Iterator[list[Row]]:
    """The rows that went through the chain together."""
    items = pa.concat_tables([snapshot.items(part) for part in range(snapshot.parts)])
    start = 0
    for block in cut_into_blocks(items, items_of_a_block(len(items), workers)):
        yield rows[start : start + len(block)]
        start += len(block)


def started(block: list[Row]) -> float:
    """When the stylizing of a block began: all of it is stylized before its first result is encoded and written."""
    first = min(block, key=lambda row: row["finished"])
    spent = first["encode_s"] + first["put_s"] + sum(row["stylize_s"] for row in block)
    return first["finished"].timestamp() - spent


def split(folder: Path, style: Path, model: str, count: int = 24) -> None:
    """Of a look: what deciding costs, and what slicing."""
    load_kernel()
    torch.set_num_threads(1)
    stylizer = Stylizer.load(model, device="cpu")
    prepared, spent = stylizer.style(style, render="look"), [0.0, 0.0]
    first, *paths = sorted(folder.iterdir())[: count + 1]
    for path in (first, *paths):
        photo = read_photo(path)
        clock = [time.perf_counter()]
        look = stylizer.look(photo, prepared)
        clock.append(time.perf_counter())
        stylizer.apply(look, photo, overwrite=True)
        clock.append(time.perf_counter())
        if path != first:  # what is loaded then is no photo's cost
            spent = [before + b - a for before, (a, b) in zip(spent, pairwise(clock), strict=True)]
    decided, sliced = (seconds / max(1, len(paths)) * 1e3 for seconds in spent)
    print(f"  look        decide {decided:.1f}, slice {sliced:.1f} ms a photo", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, nargs="+", default=[200, 2000], help="objects of each run")
    parser.add_argument("--size", default="1920x1080", help="of the photos, WIDTHxHEIGHT")
    parser.add_argument("--model", default="vgg")
    parser.add_argument("--render", nargs="+", default=["look"], choices=("look", "full"), help="by turns")
    parser.add_argument("--cpus", type=int, default=os.cpu_count(), help="of the Ray that is started")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="stylizers at once")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{width}×{height}, {arguments.model}, {arguments.cpus} CPUs; load before: {load}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_photos(folder / "style", 1, 1920, 1080)
        for count in arguments.objects:
            make_photos(folder / f"in-{count}", count, width, height)
            style = folder / "style" / "00000.jpg"
            for render in arguments.render:
                run(folder / f"in-{count}", folder / f"out-{count}-{render}", style, render, arguments)
        if "look" in arguments.render:
            split(folder / f"in-{arguments.objects[0]}", style, arguments.model)


if __name__ == "__main__":
    main()
