"""Whatever a source's keys are, each gets a result of its own inside the destination, on every kind of storage."""

import pytest

from pcakd.storage import Storage, open_storage
from pcakd.storage.keys import key_of
from tests.pcakd.bulk.made import ledger, work
from tests.pcakd.bulk.test_ledger import assert_adds_up

ODD_KEYS = ["..", "../up", "a/../b", "//", "a//b", ".", "100%", "100%25", "a b+c", "ü/写真", "?x=1#y", "~'\"<&>"]
LINES_KEY = "tab\tnewline\n"
"""Moto refuses it."""
KEYS = [*ODD_KEYS, *(f"{key}.jpg" for key in ODD_KEYS), "/etc/passwd", "_pcakd.jpg", "a/_pcakd/b.jpg", "\\..\\x.jpg"]
KEYS += ["e\u0301.jpg", "\u00e9.jpg", "A.JPG", "a.jpg", "x" * 1000 + ".jpg"]
KEYS += ["d/" * 300 + "e.jpg"]


class AnyKeyContract:
    """A class that runs it has fixtures `source`, an empty storage of S3, and `dest`, an address."""

    keys = KEYS

    def test_any_key_gets_a_result_of_its_own_inside_the_destination(self, source: Storage, dest: str):
        for key in self.keys:
            source.write(key, key.encode())
        book = ledger(source.uri(), dest, styles=("x.jpg",))
        snapshot = book.begin(source)
        items = [item for part in range(snapshot.parts) for item in snapshot.items(part).to_pylist()]
        assert sorted(key_of(item["key"]) for item in items) == sorted(self.keys)
        for item in items:
            assert book.dest.create(item["output"], source.read(key_of(item["key"])))
        written = {entry.key for entry in book.dest.list() if not entry.key.startswith("_pcakd/")}
        assert written == {item["output"] for item in items}
        assert len(written) == len(self.keys)
        kept = {item["output"] for item in items if item["output"] == item["key"]}
        assert {"_pcakd.jpg", "a/_pcakd/b.jpg", "ü/写真.jpg", "100%25.jpg", "é.jpg"} <= kept
        work(snapshot)
        assert_adds_up(snapshot, snapshot.finish())


class TestMoto(AnyKeyContract):
    @pytest.fixture
    def bucket(self, s3_server) -> str:
        return s3_server.new_bucket()

    @pytest.fixture
    def source(self, bucket) -> Storage:
        return open_storage(f"s3://{bucket}/in")

    @pytest.fixture
    def dest(self, bucket) -> str:
        return f"s3://{bucket}/out"


class TestLocal(TestMoto):
    @pytest.fixture
    def dest(self, tmp_path):
        yield str(tmp_path / "deep" / "out")
        assert {path.name for path in tmp_path.iterdir()} == {"deep"}


@pytest.mark.slow
class TestCeph(TestMoto):
    keys = (*KEYS, LINES_KEY, f"{LINES_KEY}.jpg")

    @pytest.fixture
    def bucket(self, ceph_bucket) -> str:
        return ceph_bucket
