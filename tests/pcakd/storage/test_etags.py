import hashlib
import os
import pickle
import shutil
import sqlite3
import time

import pytest

from pcakd.storage import LocalStorage, ObjectInfo, etags

OLD = time.time() - 3600


@pytest.fixture
def storage(tmp_path, monkeypatch) -> LocalStorage:
    """A folder with one file of an hour ago, and an empty cache."""
    monkeypatch.setenv("PCAKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(etags, "SETTLED_S", -1)  # change times cannot be set back
    folder = LocalStorage(tmp_path / "photos")
    folder.write("a.jpg", b"photo")
    os.utime(folder.root / "a.jpg", (OLD, OLD))
    return folder


@pytest.fixture
def hashed(monkeypatch) -> list[str]:
    """Names of the files that were read for their hash."""
    names: list[str] = []

    def counted(file, digest):
        names.append(os.readlink(f"/proc/self/fd/{file.fileno()}").rpartition("/")[2])
        return real(file, digest)

    real = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", counted)
    return names


def listed(storage: LocalStorage) -> dict[str, str]:
    return {entry.key: entry.etag for entry in storage.list()}


def test_the_etag_is_of_the_content_however_the_entry_was_come_by(storage):
    expected = hashlib.sha256(b"photo").hexdigest()
    assert listed(storage) == {"a.jpg": expected}
    assert storage.head("a.jpg").etag == storage.read_with_info("a.jpg")[1].etag == expected


def test_touching_and_restoring_a_file_changes_nothing(storage, tmp_path):
    before = listed(storage)
    os.utime(storage.root / "a.jpg")
    assert listed(storage) == before
    shutil.copy(storage.root / "a.jpg", tmp_path / "backup")
    (storage.root / "a.jpg").unlink()
    shutil.copy(tmp_path / "backup", storage.root / "a.jpg")
    assert listed(storage) == before
    storage.write("a.jpg", b"PHOTO")
    assert listed(storage) != before


def test_a_file_is_hashed_once_while_it_looks_untouched_and_by_any_process(storage, hashed):
    first = listed(storage)
    assert (listed(storage), hashed) == (first, ["a.jpg"])
    etags._cache().flush()
    etags._open_cache = None  # as a new process begins
    assert (listed(storage), hashed) == (first, ["a.jpg"])
    os.utime(storage.root / "a.jpg")
    assert (listed(storage), hashed) == (first, ["a.jpg"] * 2)
    # The same size and time, as after an editor that sets the time back: the change time tells.
    status = (storage.root / "a.jpg").stat()
    (storage.root / "a.jpg").write_bytes(b"PHOTO")
    os.utime(storage.root / "a.jpg", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert listed(storage) != first


def test_what_changed_a_moment_ago_is_not_remembered(storage, hashed, monkeypatch):
    monkeypatch.setattr(etags, "SETTLED_S", 60)
    assert listed(storage) == listed(storage)
    assert hashed == ["a.jpg"] * 2


def test_nothing_is_hashed_that_nobody_asks_for(storage, hashed):
    assert [entry.key for entry in storage.list()] == ["a.jpg"]
    assert storage.exists("a.jpg")
    assert storage.read("a.jpg") == b"photo"
    assert not hashed


@pytest.mark.parametrize("damage", ["not a database", "a folder", "no room"])
def test_a_cache_that_cannot_be_used_costs_only_time(storage, tmp_path, damage):
    place = tmp_path / "cache" / etags.NAME
    if damage == "not a database":
        place.parent.mkdir()
        place.write_bytes(b"no database at all" * 100)
    elif damage == "a folder":
        place.mkdir(parents=True)
    else:
        (tmp_path / "cache").write_text("in the way")
    expected = {"a.jpg": hashlib.sha256(b"photo").hexdigest()}
    assert listed(storage) == listed(storage) == expected
    if damage == "not a database":
        etags._cache().flush()
        assert sqlite3.connect(place).execute("SELECT count(*) FROM etags").fetchone() == (1,)


def test_an_entry_travels_with_its_etag(storage):
    (entry,) = storage.list()
    copy = pickle.loads(pickle.dumps(entry))
    assert copy == ObjectInfo(key="a.jpg", size=5, etag=hashlib.sha256(b"photo").hexdigest(), mtime=entry.mtime)


def test_a_file_that_cannot_be_read_is_listed_all_the_same(storage, monkeypatch):
    def refuse(*args):
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    (entry,) = storage.list()
    assert etags.is_former(entry.etag)


def test_an_etag_of_size_and_time_still_tells_whether_a_file_is_the_same(storage):
    (entry,) = storage.list()
    former = etags.former_etag((storage.root / "a.jpg").stat())
    assert storage.unchanged(entry, 5, former)
    assert storage.unchanged(entry, 5, entry.etag)
    assert not storage.unchanged(entry, 5, "0" * 64)
    os.utime(storage.root / "a.jpg")
    assert not storage.unchanged(entry, 5, former)
