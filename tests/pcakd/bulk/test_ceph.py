"""The ledger on a real S3 server: requests that fail in every way."""

import threading

import pytest

import pcakd.storage.s3 as s3
from pcakd.bulk import Ledger
from pcakd.storage.retry import RetryPolicy
from tests.pcakd.bulk.made import resolved, work
from tests.pcakd.bulk.test_ledger import PART, assert_adds_up
from tests.servers.fault_proxy import Rule, fault_proxy

pytestmark = pytest.mark.slow


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
