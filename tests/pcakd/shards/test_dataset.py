import pytest

from pcakd.errors import FatalError, UsageError
from pcakd.shards import open_dataset
from pcakd.shards.tables import write_shard
from pcakd.storage import open_storage, sha256_hex
from pcakd.storage.stage import write_manifest
from tests.pcakd.shards.test_tables import row


@pytest.fixture
def folder(tmp_path):
    """A dataset of 5 photos in 2 shards, written by hand."""
    storage = open_storage(tmp_path)
    splits: dict = {"train": {"rows": 5, "shards": []}, "val": {"rows": 0, "shards": []}}
    for name, numbers in (("train/shard-000000.parquet", range(3)), ("train/shard-000001.parquet", range(3, 5))):
        rows = [row(number) for number in numbers]
        write_shard(storage, name, [photo | {"sha256": sha256_hex(photo["image"])} for photo in rows])
        data = storage.read(name)
        splits["train"]["shards"].append(
            {"file": name, "rows": len(rows), "bytes": len(data), "sha256": sha256_hex(data)}
        )
    write_manifest(storage, {"stage": "shards", "splits": splits, "digest": "d"})
    return tmp_path


def test_rows_come_in_order_and_workers_can_share_the_shards(folder):
    dataset = open_dataset(str(folder))
    assert [row.key for row in dataset.rows("train")] == [f"{number}.jpg" for number in range(5)]
    first, second = dataset.shards("train")
    assert [row.key for row in dataset.rows("train", shards=[second])] == ["3.jpg", "4.jpg"]
    assert [table.column_names for table in dataset.tables("train", columns=["key"], shards=[first])] == [["key"]]
    assert (dataset.count("train"), dataset.count("val"), list(dataset.rows("val"))) == (5, 0, [])
    dataset.verify()


def test_a_shard_that_was_changed_is_found(folder):
    dataset = open_dataset(str(folder))
    dataset.storage.write("train/shard-000001.parquet", dataset.storage.read("train/shard-000000.parquet"))
    with pytest.raises(FatalError, match="shard-000001"):
        dataset.verify()


def test_what_is_no_finished_dataset_is_said(folder, tmp_path):
    with pytest.raises(UsageError, match="test"):
        open_dataset(str(folder)).shards("test")
    (folder / "manifest.json").write_text('{"stage": "eigenbases"}')
    with pytest.raises(UsageError, match="not the manifest of a sharded dataset"):
        open_dataset(str(folder))
    (folder / "manifest.json").unlink()
    with pytest.raises(UsageError, match="run `pcakd shard` first"):
        open_dataset(str(folder))
