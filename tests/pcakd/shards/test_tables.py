import pytest

from pcakd.errors import UsageError
from pcakd.shards import ShardConfig, split_of
from pcakd.shards.tables import ROW_GROUP_BYTES, listing_digest, read_listing, write_listing, write_shard
from pcakd.storage import ObjectInfo, open_storage
from pcakd.storage.parquet import open_parquet


def row(number: int, size: int = 100) -> dict:
    image = number.to_bytes(4) * (size // 4)
    return {
        "key": f"{number}.jpg",
        "image": image,
        "width": 1,
        "height": 1,
        "source_uri": "x",
        "source_etag": "e",
        "sha256": "0" * 64,
    }


def test_row_groups_are_sized_for_streaming_and_the_bytes_are_reproducible(tmp_path):
    storage = open_storage(tmp_path)
    rows = [row(number, ROW_GROUP_BYTES // 3) for number in range(10)]
    assert write_shard(storage, "a.parquet", iter(rows)) == 10
    write_shard(storage, "b.parquet", rows)
    assert storage.read("a.parquet") == storage.read("b.parquet")
    with open_parquet(storage, "a.parquet") as file:
        assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [4, 4, 2]
        assert file.read().to_pylist() == rows


def test_a_listing_comes_back_in_order_and_its_hash_depends_on_every_entry(tmp_path):
    storage = open_storage(tmp_path)
    entries = [ObjectInfo(key=f"{i} ü%\udcff", size=i, etag=f"e{i}", mtime=i / 3) for i in range(25_000)]
    count, digest = write_listing(storage, "l.parquet", iter(entries))
    assert count == 25_000
    assert list(read_listing(storage, "l.parquet")) == entries
    assert digest == listing_digest(entries) == listing_digest(read_listing(storage, "l.parquet"))
    assert write_listing(storage, "m.parquet", entries[:-1])[1] != digest
    assert write_listing(storage, "m.parquet", entries) == (count, digest)


def test_the_split_depends_on_the_key_alone_and_has_the_asked_share():
    keys = [f"photo {number}.jpg" for number in range(4000)]
    share = sum(split_of(key, 0.1) == "val" for key in keys) / len(keys)
    assert 0.08 < share < 0.12
    assert {split_of(key, 0.0) for key in keys} == {"train"}
    # A larger fraction moves photos to validation, none back.
    assert all(split_of(key, 0.2) == "val" for key in keys if split_of(key, 0.1) == "val")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shortest_side", 7),
        ("shard_mb", 0),
        ("val_fraction", 1.0),
        ("val_fraction", -0.1),
        ("limit", 0),
        ("quality", 101),
    ],
)
def test_a_config_names_the_field_the_value_and_the_bound(field, value):
    with pytest.raises(UsageError, match=f"{field} is {value}: give"):
        ShardConfig(source="a", dest="b", **{field: value})
