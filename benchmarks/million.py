"""What a bulk job of very many items takes beside the work itself. Run: python -m benchmarks.million [--items 10000]

Whole runs of `stylize-bucket`, from listing to report, over a bucket that a client in this process lists a page of
1,000 keys at a time, into a folder. Ray is started, and gets the items' blocks as a dataset; but in the place of its
workers and of the network the driver gets answers, rows as workers give them, sixteen at a time, of which every
hundredth says that its object is no photo. Each line is a process of its own:

plan        `--dry-run`: lists, plans every result, finds two of one name.
snapshot    the first run's listing, until it would start Ray; then it works until half of the items have rows and a
            budget ends it, with a report.
half        the rest of that run: the rows of half of the items, and the report of a run that stopped.
resume      the same command, from its first line to the first row, without what workers take to start.
rest        from there until every item has a row.
report      final rows, totals, the report.
second      the same command once more, over the finished job: lists, compares, points at the report.

seconds are of the wall, cpu of this process; memory is the process's peak (PyTorch and the model, 500 MB or so, are in
it).
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

PAGE, BLOCK = 1000, 16
BYTES_OUT = 1000


class Client:
    """Answers as S3 does."""

    def __init__(self, items: int) -> None:
        self.items = items

    def list_objects_v2(self, **request: Any) -> dict[str, Any]:
        start = int(request.get("ContinuationToken", 0))
        now = datetime.datetime.now(datetime.UTC)
        entries = [
            {
                "Key": f"photos/2026/november/some-album/photo-{number:09d}.jpg",
                "Size": 123_456 + number,
                "ETag": f'"{number:032x}"',
                "LastModified": now,
            }
            for number in range(start, min(start + PAGE, self.items))
        ]
        more = start + PAGE < self.items
        return {"Contents": entries, "IsTruncated": more, "NextContinuationToken": str(start + PAGE)}

    def get_object(self, **request: Any) -> dict[str, Any]:
        from botocore.exceptions import ClientError

        raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")


class Answers:
    """Stands where the chain of workers does."""

    def __init__(self, run: str, heard: Any) -> None:
        self.run_name, self.heard = run, heard
        self.late: list[dict[str, Any]] = []
        self.room = 20_000

    def run(self, items: pa.Table, *, alone: bool = False) -> Iterator[list[dict[str, Any]]]:
        from ray.data import from_items

        from tasks.bulk.pipeline import cut_into_blocks, pack_items

        packed = [{"items": pack_items(block)} for block in cut_into_blocks(items, BLOCK)]
        dataset = from_items(packed, override_num_blocks=len(packed))
        self.heard("first")
        for block in cut_into_blocks(items, BLOCK):
            yield [self._row(item) for item in block.to_pylist()]
        del dataset

    def _row(self, item: dict[str, Any]) -> dict[str, Any]:
        row = {name: item[name] for name in ("part", "key", "etag", "size", "style", "output")}
        row |= {"passing": False, "run": self.run_name, "worker": "node-17:4242", "model": "mobilenet"}
        row |= {"finished": datetime.datetime.now(datetime.UTC), "fetch_s": 0.02, "decode_s": 0.01}
        if item["size"] % 100 == 0:
            return row | {"status": "not-an-image", "error": "PhotoError", "message": "is no photo"}
        sizes = {"output_size": BYTES_OUT, "width": 1920, "height": 1080}
        return row | sizes | {"status": "ok", "sha256": f"{item['size']:064x}", "stylize_s": 0.3, "encode_s": 0.02}


def one(phase: str, items: int, folder: Path) -> dict[str, float]:
    """Run a phase in this process; moments since it began, CPU seconds and peak memory in MB."""
    import pcakd.storage.s3 as s3
    from pcakd.bulk import BucketJob, RunOptions
    from pcakd.bulk.job import look_up
    from pcakd.bulk.plan import dry_run
    from tasks.bulk import BulkProgress, job, stylize_bucket
    from tasks.bulk.driver import BudgetError

    client, began, moments = Client(items), time.monotonic(), {}
    s3.client_for = lambda *address: client  # type: ignore[assignment]

    def heard(what: str) -> None:
        moments.setdefault(what, time.monotonic() - began)

    class Progress(BulkProgress):
        def doing(self, what: str) -> None:
            heard(what)

    work = BucketJob(
        source="s3://bucket/photos", dest=str(folder / "out"), styles=(str(folder / "style.jpg"),), model="mobilenet"
    )
    if phase == "plan":
        assert dry_run(look_up(work)).items == items
    else:
        job._BucketRun._chain = lambda self, count: Answers(self.name, heard)  # type: ignore[method-assign]
        half = items // 2 * BYTES_OUT / 1e9 if phase == "first" else None
        try:
            with Progress() as progress:
                report = stylize_bucket(work, RunOptions(max_gb_out=half), progress=progress)
            assert (phase != "first", report.totals.items, report.totals.pending) == (True, items, 0)
            assert report.reused == (phase == "second")
        except BudgetError:
            assert phase == "first"
    moments["end"] = time.monotonic() - began
    used = os.times()
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return moments | {"cpu": used.user + used.system, "peak": peak / 1024}


def measure(items: int, folder: Path) -> None:
    from tests.corpus import jpeg

    folder.mkdir()
    (folder / "style.jpg").write_bytes(jpeg(1001))

    def run(phase: str) -> dict[str, float]:
        words = [sys.executable, "-m", "benchmarks.million", "--phase", phase, str(items), str(folder)]
        return json.loads(subprocess.check_output(words, text=True).splitlines()[-1])

    def tell(name: str, seconds: float, of: dict[str, float]) -> None:
        print(f"{items:>9,}  {name:<9} {seconds:>8.1f} s  {of['cpu']:>8.1f} s cpu  {of['peak']:>6,.0f} MB", flush=True)

    found = run("plan")
    tell("plan", found["end"], found)
    first = run("first")
    tell("snapshot", first["starting Ray"], first)
    tell("half", first["end"] - first["starting Ray"], first)
    resumed = run("resume")
    tell("resume", resumed["first"], resumed)
    tell("rest", resumed["writing the report"] - resumed["first"], resumed)
    tell("report", resumed["end"] - resumed["writing the report"], resumed)
    page = next(folder.glob("out/_pcakd/*/snapshots/000001/report/report.html"))
    print(f"{items:>9,}  the report's page has {page.stat().st_size / 1e3:,.0f} kB")
    second = run("second")
    tell("second", second["end"], second)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, help="where the jobs write; a temporary one unless given")
    parser.add_argument("--phase", nargs=3, metavar=("PHASE", "ITEMS", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.phase:
        phase, items, folder = arguments.phase
        print(json.dumps(one(phase, int(items), Path(folder))))
        return
    print(f"load before: {', '.join(f'{value:.1f}' for value in os.getloadavg())}", flush=True)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        for items in arguments.items:
            measure(items, Path(temporary) / str(items))


if __name__ == "__main__":
    main()
