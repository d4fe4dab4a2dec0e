import pyarrow as pa
import pytest

from pcakd.photos.outcomes import SHARD_STATUSES
from pcakd.shards.changes import Delta, find_delta
from pcakd.storage import ObjectInfo, open_storage

RETRIED = {"missing", "denied", "unreachable", "crashed", "no-memory", "archived"}


@pytest.mark.parametrize("status", SHARD_STATUSES)
def test_a_retry_takes_what_may_pass_and_what_may_have_been_restored(status, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"bytes")
    source = open_storage(tmp_path)
    (entry,) = source.list()
    row = {"key": "a.jpg", "size": entry.size, "etag": entry.etag, "status": status, "duplicate_of": None}
    assert isinstance(entry, ObjectInfo)
    listed = {"key": entry.key, "size": entry.size, "etag": entry.etag, "mtime": entry.mtime}
    cut = [(pa.Table.from_pylist([listed]), pa.Table.from_pylist([row]))]
    assert not Delta().takes(source, entry, row, retry=False)
    assert Delta().takes(source, entry, row, retry=True) == (status in RETRIED)
    assert find_delta(source, cut, retry=True).retried == (status in RETRIED)
