"""A real S3 server: the contract of storages, and what only it judges, directly and through a proxy with faults."""

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

import pcakd.storage.s3 as s3
from pcakd.errors import AccessError, NotFoundError
from pcakd.storage import Storage, open_storage
from pcakd.storage.retry import RetryPolicy
from tests.pcakd.storage.contract import ConcurrentStorageContract
from tests.servers.fault_proxy import Rule, fault_proxy

pytestmark = pytest.mark.slow

S3_KEYS = [
    "..",
    "../up",
    "a/../b",
    "//",
    "a//b",
    ".",
    "100%",
    "100%25",
    "a b+c",
    "ü/写真",
    "tab\tnewline\n",
    "?x=1#y",
    "~'\"<&>",
]


@pytest.fixture
def storage(ceph_bucket) -> Storage:
    return open_storage(f"s3://{ceph_bucket}/some prefix/50%")


class TestCeph(ConcurrentStorageContract):
    pass


def test_keys_that_no_disk_takes_are_written_listed_and_read(storage):
    for key in S3_KEYS:
        storage.write(key, key.encode())
    assert [entry.key for entry in storage.list()] == sorted(S3_KEYS)
    assert {key: storage.read(key) for key in S3_KEYS} == {key: key.encode() for key in S3_KEYS}
    storage.clear()
    assert list(storage.list()) == []


def test_listings_of_several_pages_are_whole(storage):
    keys = [f"{number:04d}" for number in range(1, 1206)]
    with ThreadPoolExecutor(32) as threads:
        list(threads.map(lambda key: storage.write(key, b""), keys))
    assert [entry.key for entry in storage.list()] == keys


def test_large_objects_go_up_in_parts(storage):
    data = bytes(range(256)) * 4 * 70_000
    storage.write("large", data)
    read, info = storage.read_with_info("large")
    assert hashlib.sha256(read).digest() == hashlib.sha256(data).digest()
    assert info.etag.endswith("-3")
    assert storage.sweep() == 0


def test_the_server_refuses_bytes_that_do_not_match_their_checksum(storage):
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    with pytest.raises(Exception, match="BadDigest"):
        storage._client.put_object(Bucket=storage.bucket, Key="x", Body=b"content", ContentMD5=wrong)


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_said_at_once_without_repeating_them(name, ceph, ceph_bucket, monkeypatch):
    monkeypatch.setenv(name, "hunter2hunter2")
    with fault_proxy(ceph.endpoint) as proxy:
        monkeypatch.setenv("PCAKD_S3_ENDPOINT_URL", proxy.url)
        storage = open_storage(f"s3://{ceph_bucket}")
        for number, act in enumerate(
            (storage.check, lambda: storage.read("a"), lambda: storage.write("a", b"")), start=1
        ):
            with pytest.raises(AccessError) as caught:
                act()
            assert caught.value.credentials
            assert "hunter2" not in str(caught.value)
            assert len(proxy.requests) == number


def test_a_missing_bucket_costs_one_request(ceph, ceph_bucket, monkeypatch):
    with fault_proxy(ceph.endpoint) as proxy:
        monkeypatch.setenv("PCAKD_S3_ENDPOINT_URL", proxy.url)
        with pytest.raises(NotFoundError, match="no-such-bucket"):
            open_storage("s3://no-such-bucket/x").check()
        assert len(proxy.requests) == 1


FAULTS = ["503", "reset", "cut", "truncate", "drop_response"]


@pytest.mark.parametrize("kind", FAULTS)
def test_every_operation_survives_faults(kind, ceph, ceph_bucket, monkeypatch):
    data = b"0123456789" * 1000
    monkeypatch.setattr(s3, "SINGLE_PUT_BYTES", 6 << 20)
    monkeypatch.setattr(s3, "PART_BYTES", 5 << 20)
    with fault_proxy(ceph.endpoint) as proxy:
        storage = s3.S3Storage(ceph_bucket, endpoint=proxy.url, policy=RetryPolicy(base_s=0.01, cap_s=0.05))
        # A body is cut in its middle, an answer without one in its head.
        after = 5000 if kind in ("cut", "truncate") else 0

        def operation(act):
            proxy.rules[:] = [Rule(kind, times=1, after=after), Rule(kind, times=1, after=100)]
            before = len(proxy.injected)
            result = act()
            assert len(proxy.injected) > before
            return result

        operation(lambda: storage.write("a", data))
        assert operation(lambda: storage.create("b", data)), "a lost answer is no conflict"
        assert not operation(lambda: storage.create("b", b"other"))
        assert operation(lambda: storage.read("a")) == data
        assert operation(lambda: storage.read_range("a", 1000, 8000)) == data[1000:9000]
        assert operation(lambda: [entry.key for entry in storage.list()]) == ["a", "b"]
        assert operation(lambda: storage.head("a")).size == len(data)
        operation(lambda: storage.delete("b"))
        large = data * 800
        operation(lambda: storage.write("large", large))
        proxy.rules[:] = [Rule(kind, lambda method, path: "uploadId" in path and method == "POST", times=1, after=100)]
        storage.write("large", large)
        proxy.rules.clear()
        assert storage.read("large") == large
        assert [entry.key for entry in storage.list()] == ["a", "large"]
