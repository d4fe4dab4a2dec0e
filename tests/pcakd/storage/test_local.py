"""Local folders: the contract of storages, and what is particular to a disk."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pcakd.errors import NotFoundError, UsageError
from pcakd.storage import LocalStorage, Storage, open_storage
from pcakd.storage.local import TEMPORARY
from tests.pcakd.storage.contract import ConcurrentStorageContract


class TestLocalFolder(ConcurrentStorageContract):
    @pytest.fixture
    def storage(self, tmp_path) -> Storage:
        return open_storage(tmp_path / "root")


def test_errors_stay_on_one_line_whatever_the_key(tmp_path):
    storage = LocalStorage(tmp_path)
    storage.write("tab\tand\nnewline", b"x")
    assert [entry.key for entry in storage.list()] == ["tab\tand\nnewline"]
    with pytest.raises(NotFoundError) as caught:
        storage.read("other\nline\udcff")
    assert "other\\nline\\udcff" in str(caught.value)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(keys=st.sets(st.from_regex(r"[a-c.\- é]{1,3}(/[a-c.\- é]{1,3}){0,2}", fullmatch=True), max_size=8))
def test_a_local_folder_lists_in_the_order_of_its_keys(keys, tmp_path_factory):
    storage = LocalStorage(tmp_path_factory.mktemp("list"))
    written = []
    for key in keys:
        try:
            storage.write(key, b"")
            written.append(key)
        except UsageError:  # "." and ".." parts, and files where a folder is needed
            pass
    assert [entry.key for entry in storage.list()] == sorted(written)


@pytest.mark.parametrize("key", ["", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "./a", "nul\0"])
def test_a_local_key_cannot_leave_the_folder(key, tmp_path):
    storage = LocalStorage(tmp_path / "root")
    for act in (storage.read, storage.delete, storage.head, lambda key: storage.write(key, b"")):
        with pytest.raises(UsageError):
            act(key)


def test_temporary_files_are_not_listed_and_can_be_swept(tmp_path):
    storage = LocalStorage(tmp_path)
    storage.write("sub/a", b"x")
    (tmp_path / "sub" / f"{TEMPORARY}0123").write_bytes(b"half")
    assert [entry.key for entry in storage.list()] == ["sub/a"]
    assert storage.sweep() == 1
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["a"]


def test_links_are_followed_once_and_dangling_ones_are_listed(tmp_path):
    storage = LocalStorage(tmp_path / "root")
    storage.write("dir/a", b"x")
    (tmp_path / "root" / "loop").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "linked").symlink_to(tmp_path / "root" / "dir")
    (tmp_path / "root" / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "root" / "pipe")
    assert [entry.key for entry in storage.list()] == ["dangling", "dir/a", "linked/a"]
    with pytest.raises(NotFoundError):
        storage.read("dangling")
    with pytest.raises(NotFoundError):
        storage.read("pipe")


def test_a_published_file_keeps_the_umask(tmp_path):
    storage = LocalStorage(tmp_path)
    old = os.umask(0o022)
    try:
        storage.write("a", b"x")
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_a_folder_that_is_not_there_is_said_at_once(tmp_path):
    with pytest.raises(NotFoundError, match="no such folder"):
        open_storage(tmp_path / "none").check()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotFoundError, match="not a folder"):
        open_storage(tmp_path / "file").check()
