"""What every storage promises, whatever it keeps its objects in: one class of tests, run over each of them."""

import os
import pickle
import threading

import pytest

from pcakd.errors import NotFoundError
from pcakd.storage import Storage
from pcakd.storage.parquet import read_parquet, write_parquet
from tests.pcakd.storage.test_parquet import TABLE

ODD_KEYS = [
    "plain.jpg",
    "with space.jpg",
    "a+b&c=d.jpg",
    "100%.jpg",
    "100%25.jpg",
    "ünïcödé/写真 é.jpg",
    "deep/er/and/deeper.jpg",
    "dots..in..name.jpg",
    "quote'\"<>&.jpg",
    "question?mark#hash.jpg",
]


class StorageContract:
    """To be inherited by a `Test...` class with a fixture `storage`: an empty one."""

    def test_what_is_written_is_listed_and_read_back_under_any_key(self, storage: Storage):
        for key in ODD_KEYS:
            storage.write(key, key.encode())
        assert [entry.key for entry in storage.list()] == sorted(ODD_KEYS)
        for key in ODD_KEYS:
            data, entry = storage.read_with_info(key)
            assert data == key.encode()
            assert entry == storage.head(key)
            assert (entry.key, entry.size) == (key, len(data))

    def test_listing_order_is_that_of_whole_keys(self, storage: Storage):
        keys = ["a/b.jpg", "a.jpg", "a-b/c.jpg", "a/b/c.jpg", "a0", "A/z"]
        for key in keys:
            storage.write(key, b"x")
        assert [entry.key for entry in storage.list()] == sorted(keys)
        assert [entry.key for entry in storage.list("a/")] == ["a/b.jpg", "a/b/c.jpg"]
        assert [entry.key for entry in storage.list("a/b")] == ["a/b.jpg", "a/b/c.jpg"]
        assert [entry.key for entry in storage.list("a")] == ["a-b/c.jpg", "a.jpg", "a/b.jpg", "a/b/c.jpg", "a0"]
        assert list(storage.list("zzz/none")) == []

    def test_the_folders_below_a_place_are_named_without_what_is_in_them(self, storage: Storage):
        for key in ("a/b/1.jpg", "a/c/d/2.jpg", "a/3.jpg", "b/4.jpg", "5.jpg"):
            storage.write(key, b"x")
        assert storage.folders() == ("a", "b")
        assert storage.folders("a/") == ("b", "c")
        assert storage.folders("none/") == ()

    def test_an_empty_storage_lists_nothing(self, storage: Storage):
        assert list(storage.list()) == []
        assert storage.folders() == ()

    def test_create_lets_one_writer_win(self, storage: Storage):
        assert storage.create("lease", b"mine")
        assert storage.create("lease", b"mine"), "the same content is no conflict"
        assert not storage.create("lease", b"theirs")
        assert storage.read("lease") == b"mine"

    def test_missing_objects_are_said_to_be_missing(self, storage: Storage):
        storage.write("here", b"x")
        assert storage.head("gone") is None
        assert not storage.exists("gone")
        storage.delete("gone")
        for read in (storage.read, storage.open, lambda key: storage.read_range(key, 0, 1)):
            with pytest.raises(NotFoundError, match="gone"):
                read("gone")

    def test_writes_replace_and_deletes_remove(self, storage: Storage):
        storage.write("a", b"one")
        storage.write("a", b"two")
        assert storage.read("a") == b"two"
        storage.delete("a")
        assert list(storage.list()) == []

    def test_ranges_and_readers_fetch_what_is_asked_for(self, storage: Storage):
        data = bytes(range(256)) * 10
        storage.write("a", data)
        assert storage.read_range("a", 100, 50) == data[100:150]
        assert storage.read_range("a", 2550, 50) == data[2550:]
        assert storage.read_range("a", 5000, 50) == b""
        with storage.open("a") as file:
            file.seek(-10, os.SEEK_END)
            assert file.read() == data[-10:]
            file.seek(0)
            assert file.read(7) == data[:7]

    def test_a_writer_that_fails_leaves_nothing(self, storage: Storage):
        storage.write("a", b"old")

        def write_and_fail() -> None:
            with storage.writer("a") as file:
                file.write(b"new")
                raise RuntimeError

        with pytest.raises(RuntimeError):
            write_and_fail()
        assert storage.read("a") == b"old"
        assert [entry.key for entry in storage.list()] == ["a"]
        with storage.writer("a") as file:
            file.write(b"new")
        assert storage.read("a") == b"new"

    def test_a_storage_travels_by_pickle_and_a_sub_storage_is_a_folder_of_it(self, storage: Storage):
        storage.sub("stage/key").write("manifest.json", b"{}")
        copy = pickle.loads(pickle.dumps(storage))
        assert copy == storage
        assert copy.read("stage/key/manifest.json") == b"{}"
        assert storage.sub("stage/key").uri("manifest.json") == storage.uri("stage/key/manifest.json")

    def test_clearing_removes_what_is_below_and_nothing_beside(self, storage: Storage):
        for key in ("inner/a", "inner/deep/b", "inner-not/c"):
            storage.write(key, b"x")
        storage.sub("inner").clear()
        assert [entry.key for entry in storage.list()] == ["inner-not/c"]

    def test_a_table_comes_back_whole_or_by_column(self, storage: Storage):
        write_parquet(storage, "a.parquet", TABLE)
        assert read_parquet(storage, "a.parquet") == TABLE
        assert read_parquet(storage, "a.parquet", columns=["width"]) == TABLE.select(["width"])


class ConcurrentStorageContract(StorageContract):
    """And of those that many writers may use at once: moto looks first and then writes, so it is not one of them."""

    def test_create_has_one_winner_among_many_at_once(self, storage: Storage):
        results: dict[int, bool] = {}

        def create(number: int) -> None:
            results[number] = storage.create("lease", str(number).encode())

        threads = [threading.Thread(target=create, args=(number,)) for number in range(16)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        winners = [number for number, won in results.items() if won]
        assert len(winners) == 1
        assert storage.read("lease") == str(winners[0]).encode()
