"""Whole sharding jobs from and to a real S3 server, through a proxy that injects faults."""

import time

import pytest

from pcakd.errors import TransientError
from pcakd.shards import ShardConfig, open_dataset
from pcakd.storage import open_storage
from tasks.shards import shard_dataset
from tests.command import pcakd
from tests.corpus import bad_photos, good_photos, jpeg
from tests.servers.fault_proxy import Rule, fault_proxy

pytestmark = pytest.mark.slow

ODD_KEYS = [
    "a b.jpg",
    "ü/写真.jpg",
    "100%.jpg",
    "100%25.jpg",
    "../up.jpg",
    "x/../y.jpg",
    "double//slash.jpg",
    "new\nline.jpg",
    "a+b&c.jpg",
]
FAULTS = ("503", "latency", "reset", "cut", "truncate", "drop_response")


@pytest.fixture
def source(ceph_bucket):
    storage = open_storage(f"s3://{ceph_bucket}/photos")
    for sample in good_photos(150) + bad_photos():
        storage.write(sample.name, sample.data)
    for number, key in enumerate(ODD_KEYS):
        storage.write(key, jpeg(2000 + number))
    storage.write("copy.jpg", jpeg(0))
    return storage


def statuses(dest) -> dict[str, str]:
    return {row["key"]: row["status"] for table in open_dataset(dest).objects() for row in table.to_pylist()}


def test_through_faults_of_every_kind_nothing_is_lost(source, ceph, ceph_bucket, ray_cluster, monkeypatch):
    calm, stormy = (open_storage(f"s3://{ceph_bucket}/{name}") for name in ("calm", "stormy"))
    config = ShardConfig(source=source.uri(), dest=calm.uri(), val_fraction=0.1, shard_mb=1, part_objects=32)
    shard_dataset(config)
    with fault_proxy(ceph.endpoint, seed=4) as proxy:
        for kind in FAULTS:
            proxy.rules.append(Rule(kind, probability=0.03, after=600, delay=0.3))
        monkeypatch.setenv("PCAKD_S3_ENDPOINT_URL", proxy.url)
        shard_dataset(
            ShardConfig(source=source.uri(), dest=stormy.uri(), val_fraction=0.1, shard_mb=1, part_objects=32)
        )
        assert {kind for kind, _, _ in proxy.injected} == set(FAULTS)
    assert set(statuses(stormy).values()) == {"ok", "duplicate", *(sample.reason for sample in bad_photos())}
    assert statuses(stormy) == statuses(calm)
    assert set(ODD_KEYS) <= set(statuses(stormy))
    one, other = open_dataset(calm), open_dataset(stormy)
    assert other.digest == one.digest
    other.verify()
    assert [entry.key for entry in stormy.list()] == [entry.key for entry in calm.list()]
    assert not stormy.sweep(), "no upload is left unfinished"


def test_objects_that_vanish_after_the_listing_are_missing(source, ceph, ceph_bucket, ray_cluster, monkeypatch):
    gone: list[str] = []

    def vanish(method: str, path: str) -> bool:
        if method == "GET" and "list-type" not in path and not gone:
            for key in ("good-0007.jpg", "good-0070.jpg"):
                ceph.client().delete_object(Bucket=ceph_bucket, Key=f"photos/{key}")
                gone.append(key)
        return False

    with fault_proxy(ceph.endpoint) as proxy:
        proxy.rules.append(Rule("reset", match=lambda method, path: "/photos/" in path and vanish(method, path)))
        monkeypatch.setenv("PCAKD_S3_ENDPOINT_URL", proxy.url)
        dest = f"s3://{ceph_bucket}/dest"
        report = shard_dataset(ShardConfig(source=source.uri(), dest=dest))
        found = statuses(dest)
    assert [key for key, status in found.items() if status == "missing"] == gone
    assert report.counts["objects"] == 150 + len(bad_photos()) + len(ODD_KEYS) + 1 == len(found)


@pytest.mark.parametrize("wrong", ["secret", "source bucket", "destination bucket"])
def test_what_cannot_work_fails_at_once_with_one_line(wrong, ceph, ceph_bucket):
    source = "s3://no-such-bucket/x" if wrong == "source bucket" else f"s3://{ceph_bucket}/photos"
    dest = "s3://no-such-bucket/y" if wrong == "destination bucket" else f"s3://{ceph_bucket}/dest"
    environment = {"AWS_SECRET_ACCESS_KEY": "hunter2hunter2"} if wrong == "secret" else {}
    open_storage(f"s3://{ceph_bucket}/photos").write("a.jpg", jpeg(0))
    with fault_proxy(ceph.endpoint) as proxy:
        started = time.monotonic()
        done = pcakd("shard", source, dest, **ceph.environment(proxy.url) | environment)
        assert time.monotonic() - started < 60
        assert len(proxy.requests) <= 4, "no retry storm"
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert "hunter2" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_an_outage_gives_up_and_the_same_command_goes_on(source, ceph, ceph_bucket, ray_cluster, monkeypatch):
    dest = f"s3://{ceph_bucket}/dest"
    with fault_proxy(ceph.endpoint) as proxy:
        monkeypatch.setenv("PCAKD_S3_ENDPOINT_URL", proxy.url)
        config = ShardConfig(source=source.uri(), dest=dest, part_objects=8)
        # Objects of the second half cannot be read; those of the first can.
        rule = Rule("503", match=lambda method, path: "/photos/good-01" in path)
        proxy.rules.append(rule)
        with pytest.raises(TransientError):
            shard_dataset(config)
        rule.times = 0
        proxy.requests.clear()
        # Parts with a few unreachable objects were finished with them: those are for --retry-failed.
        report = shard_dataset(config, retry_failed=True)
        found = statuses(dest)
    assert report.failed == len(bad_photos())
    assert set(found.values()) == {"ok", "duplicate", *(sample.reason for sample in bad_photos())}
