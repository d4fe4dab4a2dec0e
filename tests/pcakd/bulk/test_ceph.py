"""The ledger on a real S3 server: odd keys, and requests that fail in every way."""

import threading

import pytest

import pcakd.storage.s3 as s3
from pcakd.bulk import Ledger
from pcakd.storage import open_storage
from pcakd.storage.keys import key_of
from pcakd.storage.retry import RetryPolicy
from tests.pcakd.bulk.made import ledger, resolved, work
from tests.pcakd.bulk.test_ledger import PART, assert_adds_up
from tests.pcakd.storage.test_ceph import ODD_KEYS
from tests.servers.fault_proxy import Rule, fault_proxy

pytestmark = pytest.mark.slow

KEYS = [*ODD_KEYS, *(f"{key}.jpg" for key in ODD_KEYS), "/etc/passwd", "_pcakd.jpg", "a/_pcakd/b.jpg", "\\..\\x.jpg"]
KEYS += ["e\u0301.jpg", "\u00e9.jpg", "A.JPG", "a.jpg", "x" * 1000 + ".jpg", "d/" * 300 + "e.jpg"]


@pytest.mark.parametrize("place", ["s3", "local"])
def test_any_key_gets_a_result_of_its_own_inside_the_destination(place, ceph_bucket, tmp_path):
    source = open_storage(f"s3://{ceph_bucket}/in")
    for key in KEYS:
        source.write(key, key.encode())
    dest = f"s3://{ceph_bucket}/out" if place == "s3" else str(tmp_path / "deep" / "out")
    book = ledger(source.uri(), dest, styles=("x.jpg",))
    snapshot = book.begin(source)
    items = [item for part in range(snapshot.parts) for item in snapshot.items(part).to_pylist()]
    assert sorted(key_of(item["key"]) for item in items) == sorted(KEYS)
    for item in items:
        assert book.dest.create(item["output"], source.read(key_of(item["key"])))
    written = {entry.key for entry in book.dest.list() if not entry.key.startswith("_pcakd/")}
    assert written == {item["output"] for item in items}
    assert len(written) == len(KEYS)
    kept = {item["output"] for item in items if item["output"] == item["key"]}
    assert {"_pcakd.jpg", "a/_pcakd/b.jpg", "ü/写真.jpg", "100%25.jpg", "é.jpg"} <= kept
    if place == "local":
        assert {path.name for path in tmp_path.iterdir()} == {"deep"}
    work(snapshot)
    assert_adds_up(snapshot, snapshot.finish())


def test_a_ledger_stands_whatever_requests_fail(ceph, ceph_bucket):
    policy = RetryPolicy(base_s=0.01, cap_s=0.05)
    inner = s3.S3Storage(ceph_bucket, "in")
    for number in range(12):
        inner.write(f"{number:02d}.jpg", b"x" * number)
    with fault_proxy(ceph.endpoint) as proxy:
        source = s3.S3Storage(ceph_bucket, "in", endpoint=proxy.url, policy=policy)
        dest = s3.S3Storage(ceph_bucket, "out", endpoint=proxy.url, policy=policy)
        proxy.rules[:] = [
            Rule("503", probability=0.05),
            Rule("reset", probability=0.05),
            Rule("cut", probability=0.05, after=300),
            Rule("drop_response", probability=0.1),
        ]
        job = resolved(source.uri(), dest.uri())
        first = Ledger.open(dest, job).begin(source, part_items=PART)
        drivers = [Ledger.open(dest, job).begin(source, part_items=PART) for _ in range(2)]
        assert [driver.number for driver in drivers] == [first.number] * 2
        threads = [threading.Thread(target=work, args=(driver, "same")) for driver in drivers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        totals = first.finish()
        assert_adds_up(first, totals)
        assert totals.ok == 24
        assert len({kind for kind, _, _ in proxy.injected}) == 4
        inner.write("05.jpg", b"changed")
        second = Ledger.open(dest, job).begin(source, part_items=PART)
        assert (second.number, second.record["carried"], work(second)) == (2, 22, 2)
        assert_adds_up(second, second.finish())
