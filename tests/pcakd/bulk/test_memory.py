"""The ledger's memory does not grow with the number of objects."""

import subprocess
import sys

import pytest

SCRIPT = """
import datetime, sys
import pcakd.storage.s3 as s3
from pcakd.bulk import BucketJob, Ledger, Resolved
from pcakd.bulk.plan import dry_run
from pcakd.storage import open_storage

FOLDER, TOTAL, PAGE = sys.argv[1], int(sys.argv[2]), 1000

class Client:
    "Answers as S3 does, a page of 1,000 keys at a time; every 50th object has changed after the first listing."
    def __init__(self):
        self.round = 0

    def head_bucket(self, **request):
        return {}

    def list_objects_v2(self, **request):
        start = int(request.get("ContinuationToken", 0))
        self.round += not start
        now = datetime.datetime.now(datetime.UTC)
        names = range(start, min(start + PAGE, TOTAL))
        page = {"Contents": [{"Key": f"photos/2026/november/some-album/photo-{n:09d}.jpg", "Size": 123456 + n,
                              "ETag": f'"{n + (self.round > 1 and n % 50 == 0) * TOTAL:032x}"', "LastModified": now}
                             for n in names]}
        return page | {"IsTruncated": start + PAGE < TOTAL, "NextContinuationToken": str(start + PAGE)}

client = Client()
s3.client_for = lambda *address: client
dest = open_storage(FOLDER)
job = BucketJob(source="s3://bucket/photos", dest=FOLDER, styles=("x.jpg",))
resolved = Resolved(job=job, model="vgg", model_digest="1" * 64, style_digests={"x": ("0" * 64,)})
ledger = Ledger.open(dest, resolved)

def work():
    snapshot = ledger.begin(open_storage(job.source))
    worked = 0
    for part in range(snapshot.parts):
        items = snapshot.pending(part).to_pylist()
        worked += len(items)
        for start in range(0, len(items), 2500):
            snapshot.append(part, [
                {name: item[name] for name in ("key", "etag", "size", "style", "output")}
                | {"status": "ok", "passing": False, "sha256": f"{start:064x}", "output_size": 5, "worker": "host:123"}
                for item in items[start:start + 2500]
            ], "run")
    return worked, snapshot.finish()

worked, totals = work()
assert (worked, totals.ok) == (TOTAL, TOTAL)
worked, totals = work()
assert (worked, totals.ok) == (TOTAL // 50, TOTAL)
# Not ru_maxrss: a forked process starts with its parent's.
print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
def test_two_hundred_thousand_items_take_the_memory_of_thirty_thousand(tmp_path):
    resident_mb = {}
    for total in (30_000, 200_000):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path / str(total)), str(total)],
            capture_output=True,
            text=True,
            check=True,
        )
        resident_mb[total] = int(done.stdout)
    print(f"{resident_mb} MB resident at most")
    assert resident_mb[200_000] < resident_mb[30_000] + 40
