"""How near the estimate of a bulk job is to the job. Run: python -m benchmarks.estimate [--objects 400]

Makes JPEGs of sizes that differ by six times, estimates the job over them (`stylize-bucket --dry-run --estimate`), then
runs it, each on a Ray of its own, and holds the job's seconds and bytes against the estimate's.
"""

import argparse
import os
import random
import tempfile
import time
from pathlib import Path

from pcakd.bulk.estimate import Prices, SizeSample
from pcakd.bulk.job import BucketJob, RunOptions, look_up
from pcakd.bulk.plan import dry_run
from tasks.bulk import BulkProgress, stylize_bucket
from tasks.bulk.estimate import measure

WIDTHS = (240, 320, 480, 720, 960, 1440)


def make_photos(folder: Path, count: int) -> None:
    from tests.corpus import jpeg

    folder.mkdir()
    draw = random.Random(7)
    for number in range(count):
        width = draw.choice(WIDTHS)
        (folder / f"{number:05d}.jpg").write_bytes(jpeg(number, width * 9 // 16, width))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=400)
    parser.add_argument("--model", default="mobilenet")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_photos(folder / "in", arguments.objects)
        make_photos(folder / "style", 1)
        print(f"load before: {', '.join(f'{value:.1f}' for value in os.getloadavg())}", flush=True)
        job = BucketJob(
            source=str(folder / "in"),
            dest=str(folder / "out"),
            styles=(str(folder / "style" / "00000.jpg"),),
            model=arguments.model,
        )
        resolved, sample = look_up(job), SizeSample()
        dry_run(resolved, pending=sample.add)
        began = time.monotonic()
        with BulkProgress() as progress:
            found = measure(resolved, RunOptions(), sample, Prices(), progress=progress)
        print("\n".join(filter(None, found.lines())))
        print(f"measured in {time.monotonic() - began:.1f} s", flush=True)
        report = stylize_bucket(job)
        print(f"the job took {report.seconds:.1f} s and wrote {report.totals.bytes_out / 1e9:.4f} GB")
        print(
            f"estimate ÷ truth: seconds {found.seconds.value / report.seconds:.3f}, "
            f"bytes {found.bytes_out.value / report.totals.bytes_out:.3f}"
        )


if __name__ == "__main__":
    main()
