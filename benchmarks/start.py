"""Where the seconds until a bulk job's first result go. Run: python -m benchmarks.start [--photos 20] [--runs 3]

A job of a few photos from local disk to local disk, on a Ray of its own, each run a process of its own. Moments count
from the process's start:

imports    Python, the command's own modules
model      PyTorch, the model, the style photos
listing    the ledger, the listing
Ray        until it is there
workers    the styles' statistics; workers start, load PyTorch and the model
first      the first photo, to its row
rest       all others; final rows, report

`Ray alone` is what `ray.init` takes in a process that does nothing else.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

STRETCHES = ("imports", "model", "listing", "Ray", "workers", "first", "rest")
ALONE = """
import time
from tasks.cluster.attach import import_ray_quietly, ray_cluster
began = time.monotonic()
with ray_cluster():
    print(time.monotonic() - began)
"""


def one(source: str, dest: str, style: str, model: str) -> dict[str, float]:
    """Seconds of each stretch, in this process."""
    born = psutil.Process().create_time()
    from pcakd.bulk import BucketJob
    from tasks.bulk import BulkProgress, driver, stylize_bucket

    moments = {"imports": time.time()}
    names = {"listing": "model", "starting Ray": "listing", "starting workers": "Ray"}

    class Progress(BulkProgress):
        def doing(self, what: str) -> None:
            if what in names:
                moments.setdefault(names[what], time.time())

    take = driver.Driver._take

    def first(self: Any, rows: Any, alone: bool) -> None:
        if "first" not in moments:
            moments["first"] = time.time()
            row = rows[0]
            spent = sum(row.get(f"{step}_s") or 0 for step in ("fetch", "decode", "stylize", "encode", "put"))
            moments["workers"] = moments["first"] - spent
        take(self, rows, alone)

    driver.Driver._take = first  # type: ignore[method-assign]
    with Progress() as progress:
        stylize_bucket(BucketJob(source=source, dest=dest, styles=(style,), model=model), progress=progress)
    moments["rest"] = time.time()
    seconds, last = {}, born
    for name in STRETCHES:
        seconds[name], last = moments[name] - last, moments[name]
    return seconds | {"until first": moments["first"] - born}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=20)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--model", default="vgg")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(*arguments.one)))
        return
    from tests.corpus import jpeg

    environment = os.environ | {"RAY_ADDRESS": ""}
    print(f"load before: {', '.join(f'{value:.1f}' for value in os.getloadavg())}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "in").mkdir()
        for number in range(arguments.photos):
            (folder / "in" / f"{number:03d}.jpg").write_bytes(jpeg(number, 1080, 1920))
        (folder / "style.jpg").write_bytes(jpeg(1001, 1080, 1920))
        for number in range(arguments.runs):
            alone = subprocess.check_output([sys.executable, "-c", ALONE], text=True, env=environment)
            places = [str(folder / "in"), str(folder / f"out-{number}"), str(folder / "style.jpg"), arguments.model]
            words = [sys.executable, "-m", "benchmarks.start", "--one", *places]
            found = json.loads(subprocess.check_output(words, text=True, env=environment).splitlines()[-1])
            line = ", ".join(f"{name} {seconds:.1f}" for name, seconds in found.items())
            print(f"{line}; Ray alone {float(alone.splitlines()[-1]):.1f}", flush=True)


if __name__ == "__main__":
    main()
