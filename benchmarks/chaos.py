"""A bulk job with everything on, through faults and kills. Run as root: python -m benchmarks.chaos [--objects 2000]

As the chaos test of the bulk job does it, on a real S3 server (Ceph) behind a proxy that injects faults, with 32×48
photos of which two in a hundred are bad; and beside it: an S3 Inventory for the listing, of a bucket that keeps
versions, from which some objects have gone and some have changed since; all properties kept; a rate; and a budget
that ends runs. Kills a stylizer and the driver twice, then runs the same command until it does not end with 4.

Held at the end: one final row an object, one whole result for each good one, with the properties of its object; no
listing of the source; few results written twice.
"""

import argparse
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from pcakd.storage import Storage
from pcakd.storage.properties import Properties
from tests.corpus import Sample, jpeg
from tests.pcakd.bulk.inventories import entries, write_inventory
from tests.servers.ceph import ceph_server
from tests.servers.fault_proxy import FaultProxy, Rule, fault_proxy
from tests.servers.s3 import S3Server
from tests.tasks.bulk import jobs
from tests.tasks.bulk.test_chaos import FAULTS, Command, kill_a_worker

ALBUM = Properties(headers={"CacheControl": "max-age=60", "ContentType": "image/jpeg"}, metadata={"album": "summer"})
GONE = CHANGED = 20
AGAIN = 0.05
"""Share of the results that a killed driver may have written again."""


class Everything(Command):
    """The command with its inventory, made before some objects go and some change."""

    def prepare(self, server: S3Server, bucket: str) -> None:
        self.start_over(self.source)
        rows = [row for row in entries(server.client(), bucket) if row["key"].startswith("in/")]
        place = write_inventory(f"s3://{server.new_bucket()}/lists", bucket, rows, "ORC", each=700)
        good = [sample for sample in self.samples if not sample.reason]
        gone, changed = good[:GONE], good[GONE : GONE + CHANGED]
        for sample in gone:
            self.source.delete(sample.name)
        later = [Sample(name=sample.name, data=jpeg(9000 + n, 32, 48)) for n, sample in enumerate(changed)]
        for sample in later:
            self.source.write(sample.name, sample.data, ALBUM)
        missing = [Sample(name=sample.name, data=b"", reason="missing") for sample in gone]
        names = {sample.name: sample for sample in [*missing, *later]}
        self.samples = [names.get(sample.name, sample) for sample in self.samples]
        self.options = ("--inventory", place, "--keep-properties", "all", "--max-rate", "400/s", "--max-minutes", 20)

    def start_over(self, source: Storage) -> None:
        """Give every object its properties: another version."""
        with ThreadPoolExecutor(16) as threads:
            list(threads.map(lambda sample: source.write(sample.name, sample.data, ALBUM), self.samples))


@contextmanager
def own_ray() -> Iterator[str]:
    from tasks.cluster.attach import ray_cluster

    with ray_cluster(num_cpus=2, object_store_bytes=256 << 20) as context:
        yield context.gcs_address


def killed(command: Everything, ray: str, worker_at: int, driver_at: int) -> int:
    """Start, kill a stylizer, kill the driver; how many results had been written."""
    process = command.start(*command.options, ray=ray)
    command.wait_for(lambda: len(command.puts()) >= worker_at, process)
    kill_a_worker(os.getpid() if ray else process.pid)
    command.wait_for(lambda: len(command.puts()) >= driver_at, process)
    process.kill()
    process.wait()
    time.sleep(1)
    return len(command.puts())


def run(folder: Path, server: S3Server, proxy: FaultProxy, count: int, ray: str) -> None:
    bucket = server.new_bucket()
    server.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    command = Everything(folder, bucket, proxy, count)
    try:
        command.prepare(server, bucket)
        for kind, probability in FAULTS.items():
            proxy.rules.append(Rule(kind, probability=probability, after=600))
        started = time.monotonic()
        written = [
            killed(command, "", count // 8, count // 4),
            killed(command, ray, count // 4 + 200, count // 2),
        ]
        codes = []
        # A third of the results for each: what is left takes two or three runs.
        size = sum(row["output_size"] or 0 for row in jobs.snapshot_of(command.dest).rows(0).to_pylist())
        budget = size / max(1, written[-1]) * count / 4 / 1e9
        while not codes or codes[-1] == 4:
            codes.append(command.wait(command.start(*command.options, "--max-gb-out", f"{budget:.9f}", ray=ray)))
        seconds = time.monotonic() - started
        assert codes[-1] == 3, command.log.read_text()[-3000:]
        report(command, bucket, proxy, written, codes, seconds, count)
    finally:
        command.end()


def report(
    command: Everything,
    bucket: str,
    proxy: FaultProxy,
    written: list[int],
    codes: list[int],
    seconds: float,
    count: int,
) -> None:
    rows = command.check()
    puts = command.puts()
    again = [len(set(puts[:before]) & set(puts[before:])) for before in written]
    listed = [path for _, path in proxy.requests if path.startswith(f"/{bucket}?") and "prefix=in" in path]
    for row in list(rows.values())[:: count // 40]:
        if row["status"] == "ok":
            found = command.dest.head(row["output"])
            assert found is not None
            assert found.properties is not None
            assert found.properties.headers["CacheControl"] == "max-age=60"
            assert found.properties.metadata["album"] == "summer"
    versions = {row["version"] for row in rows.values() if row["status"] == "ok"}
    assert None not in versions
    assert len(versions) == sum(row["status"] == "ok" for row in rows.values())
    assert not listed
    assert max(again) <= AGAIN * count
    assert 4 in codes
    print(
        f"{count} objects in {seconds:.0f} s: {dict(Counter(row['status'] for row in rows.values()))}; faults "
        f"{dict(Counter(kind for kind, _, _ in proxy.injected))}; results written again after each driver kill: "
        f"{again}; exit codes of the runs after them: {codes}; listings of the source: {len(listed)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=2000)
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
    os.environ |= {"RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"}
    with (
        tempfile.TemporaryDirectory() as folder,
        ceph_server() as server,
        fault_proxy(server.endpoint, seed=7) as proxy,
    ):
        os.environ |= server.environment() | {"PCAKD_CACHE": folder}
        with own_ray() as ray:
            run(Path(folder), server, proxy, arguments.objects, ray)


if __name__ == "__main__":
    main()
