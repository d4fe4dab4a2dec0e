"""An S3 Inventory as the listing of a job."""

import subprocess
import sys

import pytest

import pcakd.bulk.inventory as inventory_module
from pcakd.bulk import BucketJob
from pcakd.bulk.inventory import open_inventory
from pcakd.bulk.plan import dry_run
from pcakd.cli.s3_policy import s3_policy
from pcakd.errors import NotFoundError, UsageError
from pcakd.storage import open_storage
from tests.pcakd.bulk.inventories import entries, write_inventory
from tests.pcakd.bulk.made import fill, ledger, resolved, work

ODD = ("in/a b+c.jpg", 'in/100%25 "x".jpg', "in/ü/写真.jpg", "in/z.jpg", "in/Z.jpg", "in/sub/", "in/_pcakd/1/spec.json")
TAKEN = ("Z.jpg", "a b+c.jpg", '100%25 "x".jpg', "z.jpg", "ü/写真.jpg", "kept.jpg")
"""Under in/, of what the fixture has put."""


class Bucket:
    """A bucket that keeps versions, with odd keys, a deleted object, one of three versions; and its inventories."""

    def __init__(self, server) -> None:
        self.client, self.name, self.reports = server.client(), server.new_bucket(), server.new_bucket()
        versioned = {"Status": "Enabled"}
        self.client.put_bucket_versioning(Bucket=self.name, VersioningConfiguration=versioned)
        for key in (*ODD, "in/deleted.jpg", "other/a.jpg"):
            self.client.put_object(Bucket=self.name, Key=key, Body=b"" if key.endswith("/") else key.encode())
        for number in range(3):
            self.client.put_object(Bucket=self.name, Key="in/kept.jpg", Body=b"x" * (number + 1))
        self.client.delete_object(Bucket=self.name, Key="in/deleted.jpg")
        self.rows = entries(self.client, self.name)
        self.source, self.dest = f"s3://{self.name}/in", f"s3://{self.reports}/out"

    def inventory(self, kind: str = "CSV", **changes) -> str:
        return write_inventory(f"s3://{self.reports}/lists", self.name, changes.pop("rows", self.rows), kind, **changes)

    def opened(self, kind: str = "CSV", **changes):
        return open_inventory(self.inventory(kind, **changes), open_storage(self.source))


@pytest.fixture
def bucket(request, monkeypatch) -> Bucket:
    if getattr(request, "param", "") == "shared":
        return request.getfixturevalue("read_only")
    server = request.getfixturevalue(getattr(request, "param", "s3_server"))
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    return Bucket(server)


@pytest.fixture(scope="module")
def made_once(moto_server) -> Bucket:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in moto_server.environment().items():
            patch.setenv(name, value)
        return Bucket(moto_server)


@pytest.fixture
def read_only(made_once, s3_server) -> Bucket:
    """One that tests share, of which they write inventories only."""
    return made_once


@pytest.mark.parametrize("bucket", ["shared", pytest.param("ceph", marks=pytest.mark.slow)], indirect=True)
@pytest.mark.parametrize("kind", ["CSV", "ORC", "Parquet"])
def test_an_inventory_lists_what_the_bucket_does_in_the_order_of_its_keys(bucket, kind, monkeypatch):
    monkeypatch.setattr(inventory_module, "RUN_ROWS", 4)  # so that stretches are merged
    found, source = bucket.opened(kind), open_storage(bucket.source)
    listed = [(info.key, info.size, info.etag) for info in source.list()]
    assert [(info.key, info.size, info.etag) for info in found.list()] == listed
    assert [info.version for info in found.list("kept")] == [source.head("kept.jpg").version]
    assert [info.key for info in found.list("z")] == ["z.jpg"]
    whole = open_inventory(found.name, open_storage(f"s3://{bucket.name}"))
    assert [info.key for info in whole.list()] == [info.key for info in open_storage(f"s3://{bucket.name}").list()]


def test_a_job_over_an_inventory_asks_its_source_for_nothing_before_it_works(bucket, caplog):
    place, source = bucket.inventory(), open_storage(bucket.source)
    source.write("new.jpg", b"not listed yet")
    version = source.head("kept.jpg").version
    caplog.set_level("INFO", "werkzeug")  # the server's log of requests
    caplog.clear()
    job = {"inventory": place, "styles": ("x.jpg",)}
    plan = dry_run(resolved(bucket.source, bucket.dest, **job))
    snapshot = ledger(bucket.source, bucket.dest, **job).begin(source)
    asked = [record.getMessage() for record in caplog.records]
    assert [words for words in asked if f" /{bucket.reports}" in words]
    assert not [words for words in asked if f" /{bucket.name}" in words]
    assert (plan.items, f"{plan.inventory:%Y-%m-%d}") == (len(TAKEN), "2025-11-25")
    items = snapshot.items(0).to_pylist()
    assert {item["key"] for item in items} == set(TAKEN)
    assert [item["version"] for item in items if item["key"] == "kept.jpg"] == [version]
    assert snapshot.record["selection"]["inventory"] == open_inventory(place, source).digest


def test_the_same_inventory_goes_on_and_a_later_one_is_a_new_snapshot_that_takes_over(bucket):
    job = {"styles": ("x.jpg",)}
    source = open_storage(bucket.source)
    first = ledger(bucket.source, bucket.dest, inventory=bucket.inventory(), **job)
    snapshot = first.begin(source)
    assert first.begin(source).number == 1
    work(snapshot)
    snapshot.finish()
    assert first.begin(source).done()
    source.write("new.jpg", b"x")
    later = bucket.inventory("Parquet", rows=entries(bucket.client, bucket.name))
    second = ledger(bucket.source, bucket.dest, inventory=later, **job)
    snapshot = second.begin(source)
    assert second.resolved.job_id == first.resolved.job_id
    assert (snapshot.number, snapshot.record["carried"], work(snapshot)) == (2, len(TAKEN), 1)
    snapshot.finish()
    # A listing of the same objects is the same work, done.
    assert work(ledger(bucket.source, bucket.dest, **job).begin(source)) == 0


def test_a_manifest_table_chooses_among_what_the_inventory_lists(read_only, tmp_path):
    (tmp_path / "m.csv").write_text("key\nz.jpg\nkept.jpg\n")
    job = {"inventory": read_only.inventory(), "manifest": str(tmp_path / "m.csv"), "styles": ("x.jpg",)}
    assert dry_run(resolved(read_only.source, read_only.dest, **job)).items == 2
    (tmp_path / "m.csv").write_text("key\ngone.jpg\n")
    with pytest.raises(UsageError, match=r"m\.csv: row 1: .*manifest\.json has no object 'gone\.jpg'"):
        dry_run(resolved(read_only.source, read_only.dest, **job))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sourceBucket": "another"}, r"manifest\.json: is an inventory of bucket another, and source is s3://"),
        ({"fileFormat": "Avro"}, "its files are 'Avro': CSV, ORC and Parquet are read"),
        ({"fileSchema": "Bucket, Key, Size"}, "the inventory has no etag: have S3 list Size and ETag in it"),
        ({"files": 3}, r"manifest\.json: is no manifest\.json of an S3 Inventory"),
        ({"files": [{"key": "lists/gone.csv.gz"}]}, "names s3://.*/lists/gone.csv.gz, which is not there"),
        ({"fileSchema": "Key, Bucket, Size, ETag"}, "is no CSV file of an inventory"),
        ({"fileFormat": "Parquet"}, r"0000\.csv\.gz: is no Parquet file of an inventory"),
        ({"fileFormat": "ORC"}, r"0000\.csv\.gz: is no ORC file of an inventory"),
    ],
)
def test_an_inventory_that_is_broken_or_of_something_else_is_one_line(read_only, changes, says):
    with pytest.raises(UsageError, match=says) as caught:
        list(read_only.opened(**changes).list())
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_the_one_that_was_written_is_told(read_only):
    found = read_only.opened()
    damaged = found.files[1][0]
    found.data.write(damaged, found.data.read(damaged)[:-9])
    with pytest.raises(UsageError, match=r"0003\.csv\.gz: is not the file that .*manifest\.json names \(MD5 differs\)"):
        list(found.list())
    rows = [row | {"bucket": "another"} if row["key"] == "in/z.jpg" else row for row in read_only.rows]
    with pytest.raises(UsageError, match=r"is no Parquet file of an inventory \(it lists bucket another"):
        list(read_only.opened("Parquet", rows=rows).list())


def test_an_inventory_that_is_not_there_or_not_of_a_bucket_is_told(read_only, tmp_path):
    for place in (f"s3://{read_only.reports}/none/manifest.json", str(tmp_path / "manifest.json")):
        with pytest.raises(NotFoundError, match=r"no such inventory; give the address of its manifest\.json"):
            open_inventory(place, open_storage(read_only.source))
    with pytest.raises(UsageError, match="inventory is the listing of an S3 bucket, and source is a folder"):
        BucketJob(source=str(fill(tmp_path / "in", 1)), dest="out", styles=("x.jpg",), inventory="s3://b/manifest.json")


def test_the_policy_lets_a_job_read_the_inventories_of_all_days():
    place = "s3://reports/lists/photos/daily/2026-11-25T01-00Z/manifest.json"
    plain = s3_policy("stylize-bucket", "s3://photos", "s3://out")
    found = s3_policy("stylize-bucket", "s3://photos", "s3://out", inventory=place)
    added = [statement for statement in found["Statement"] if statement not in plain["Statement"]]
    assert [statement["Sid"] for statement in added] == ["InventoryList", "InventoryObjects"]
    assert added[1]["Resource"] == ["arn:aws:s3:::reports/lists/photos/daily/*"]
    assert added[1]["Action"] == ["s3:GetObject"]
    with pytest.raises(UsageError, match="role is 'shard'"):
        s3_policy("shard", "s3://in", "s3://out", inventory=place)


MEMORY = """
import sys, gzip, hashlib, json, resource
from pathlib import Path
import pcakd.bulk.inventory as module
from pcakd.storage import LocalStorage

folder, total = Path(sys.argv[1]), int(sys.argv[2])
columns = ("bucket", "key", "size", "etag")
files, each = [], 50_000
for start in range(0, total, each):
    numbers = range(start, start + each)
    lines = "".join(f'"b","in/album/photo-{(n * 7919) % total:09d}.jpg","{n}","{n:032x}"\\n' for n in numbers)
    data = gzip.compress(lines.encode(), 1)
    (folder / f"{start}.gz").write_bytes(data)
    files.append((f"{start}.gz", hashlib.md5(data).hexdigest()))
    del data
source = type("Source", (), {"bucket": "b", "prefix": "in/"})()
found = module.Inventory(
    name="x", digest="x", made=None, source=source, files=tuple(files), data=LocalStorage(folder), format="CSV",
    columns=columns,
)
last, count = "", 0
for info in found.list():
    assert info.key > last
    last, count = info.key, count + 1
assert count == total
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_inventory(tmp_path):
    resident_mb = {}
    for total in (250_000, 600_000):
        (tmp_path / str(total)).mkdir()
        words = [sys.executable, "-c", MEMORY, str(tmp_path / str(total)), str(total)]
        resident_mb[total] = int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    print(f"{resident_mb} MB resident at most")
    assert resident_mb[600_000] < resident_mb[250_000] + 40
