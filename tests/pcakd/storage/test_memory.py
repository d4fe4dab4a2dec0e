"""Memory stays bounded however long a listing is."""

import subprocess
import sys

import pytest

SCRIPT = """
import datetime, sys
import pcakd.storage.s3 as s3
from pcakd.shards.tables import read_listing, write_listing
from pcakd.storage import open_storage

TOTAL, PAGE = int(sys.argv[2]), 1000

class Client:
    "Answers as S3 does, a page of 1,000 keys at a time."
    def list_objects_v2(self, **request):
        start = int(request.get("ContinuationToken", 0))
        now = datetime.datetime.now(datetime.timezone.utc)
        names = range(start, min(start + PAGE, TOTAL))
        page = {"Contents": [{"Key": f"photos/2026/november/some-album/photo-{n:09d}.jpg", "Size": 123456 + n,
                              "ETag": f'"{n:032x}"', "LastModified": now} for n in names]}
        return page | {"IsTruncated": start + PAGE < TOTAL, "NextContinuationToken": str(start + PAGE)}

s3.client_for = lambda *address: Client()
count, _ = write_listing(open_storage(sys.argv[1]), "listing.parquet", open_storage("s3://bucket/photos").list())
assert count == sum(1 for _ in read_listing(open_storage(sys.argv[1]), "listing.parquet")) == TOTAL
# Not ru_maxrss: a forked process starts with its parent's.
print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
def test_listing_a_million_keys_stays_under_300_mb(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), "1000000"], capture_output=True, text=True, check=True
    )
    resident_mb = int(done.stdout)
    print(f"{resident_mb} MB resident at most")
    assert resident_mb < 300
