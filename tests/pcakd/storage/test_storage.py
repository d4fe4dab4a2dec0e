"""Addresses of storages, and what all errors keep."""

import pickle

import pytest

from pcakd.errors import AccessError, UsageError
from pcakd.storage import LocalStorage, open_storage


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("gs://bucket", "gs://"),
        ("", "empty"),
        ("s3://", "no bucket"),
        ("s3:///x", "no bucket"),
        ("file://host/x", "file://"),
    ],
)
def test_other_addresses_are_refused(uri, says):
    with pytest.raises(UsageError, match=says):
        open_storage(uri)


def test_credentials_in_an_address_are_refused_and_not_repeated():
    with pytest.raises(UsageError) as caught:
        open_storage("s3://AKIA123:hunter2@bucket/x")
    assert "hunter2" not in str(caught.value)
    assert "AKIA123" not in str(caught.value)


def test_a_file_address_is_a_folder(tmp_path):
    assert open_storage(f"file://{tmp_path}/a%20b") == LocalStorage(tmp_path / "a b")


def test_access_errors_keep_what_they_know_across_processes():
    error = pickle.loads(pickle.dumps(AccessError("no", credentials=True)))
    assert error.credentials
    assert str(error) == "no"
