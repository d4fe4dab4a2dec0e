"""What a bulk job costs beside the stylizing. Run: python -m benchmarks.bulk [--objects 200 2000] [--size 1920x1080]

Makes JPEGs (quality 90; 50 different ones, then hard links of them) in a temporary folder, and runs
`pcakd stylize-bucket` from local disk to local disk, on a Ray of its own, once for each number of objects.

overhead  wall time ÷ (sum of the rows' stylize_s ÷ workers), from the first stylization's start to the last
          result's end: what fetching, decoding, encoding, writing, the ledger and Ray add to the stylizing.
start     until the first stylization begins: Python, model, listing, Ray, workers. end: final rows and report.
memory    peak over the run, sampled twice a second, of the driver and all it started, Ray's own daemons included:
          private (resident less shared: object store and libraries), and resident as it is, shared pages counted
          once for each process that has them.
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
from pathlib import Path

import psutil
import pyarrow as pa

from pcakd.bulk.ledger import Snapshot
from pcakd.storage import open_storage
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


def run(source: Path, dest: Path, style: Path, arguments: argparse.Namespace) -> None:
    words = ["stylize-bucket", source, dest, "--style", style, "--model", arguments.model]
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
    print(f"  overhead    {(last - first) / (sums['stylize'] / workers):.3f}")
    print("  ms a photo  " + ", ".join(f"{name} {spent / len(rows) * 1e3:.1f}" for name, spent in sums.items()))
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, nargs="+", default=[200, 2000], help="objects of each run")
    parser.add_argument("--size", default="1920x1080", help="of the photos, WIDTHxHEIGHT")
    parser.add_argument("--model", default="vgg")
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
            run(folder / f"in-{count}", folder / f"out-{count}", folder / "style" / "00000.jpg", arguments)


if __name__ == "__main__":
    main()
