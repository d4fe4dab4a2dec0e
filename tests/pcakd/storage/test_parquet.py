import pyarrow as pa
import pytest

from pcakd.errors import FatalError, NotFoundError
from pcakd.storage import open_storage
from pcakd.storage.parquet import open_parquet, parquet_writer, read_parquet, write_parquet

TABLE = pa.table({"key": ["a", "b"], "image": pa.array([b"1" * 5000, b"2" * 5000]), "width": [1, 2]})


@pytest.fixture(params=["local", "s3"])
def storage(request, tmp_path):
    if request.param == "local":
        return open_storage(tmp_path)
    return open_storage(f"s3://{request.getfixturevalue('s3_server').new_bucket()}/p")


def test_a_table_comes_back_and_the_same_rows_give_the_same_bytes(storage):
    write_parquet(storage, "a.parquet", TABLE)
    write_parquet(storage, "b.parquet", TABLE)
    assert read_parquet(storage, "a.parquet") == TABLE
    assert read_parquet(storage, "a.parquet", columns=["width"]) == TABLE.select(["width"])
    assert storage.read("a.parquet") == storage.read("b.parquet")


def test_row_groups_are_read_one_by_one(storage):
    with parquet_writer(storage, "a.parquet", TABLE.schema) as writer:
        writer.write_table(TABLE)
        writer.write_table(TABLE)
    with open_parquet(storage, "a.parquet") as file:
        assert file.num_row_groups == 2
        assert file.read_row_group(1) == TABLE


def test_a_writer_that_fails_publishes_nothing(storage):
    def fail() -> None:
        with parquet_writer(storage, "a.parquet", TABLE.schema) as writer:
            writer.write_table(TABLE)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(storage.list()) == []


def test_damage_is_found(storage):
    write_parquet(storage, "a.parquet", TABLE)
    data = storage.read("a.parquet")
    storage.write("short.parquet", data[:-20])
    storage.write("flipped.parquet", data.replace(b"1" * 100, b"1" * 99 + b"3", 1))
    for key in ("short.parquet", "flipped.parquet"):
        with pytest.raises(FatalError, match=key):
            read_parquet(storage, key)
    with pytest.raises(NotFoundError):
        read_parquet(storage, "none.parquet")
