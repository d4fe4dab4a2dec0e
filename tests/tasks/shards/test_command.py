"""`pcakd shard` where it needs no Ray; whole jobs are in test_job.py."""

import pytest

from tests.command import pcakd
from tests.corpus import bad_photos, good_photos


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for sample in good_photos(3) + bad_photos():
        (folder / sample.name).write_bytes(sample.data)
    return folder


def test_a_dry_run_counts_and_writes_nothing(photos, tmp_path):
    done = pcakd("shard", photos, tmp_path / "dest", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert f"{3 + len(bad_photos())} objects" in done.stdout
    assert ".svg" in done.stdout
    assert not (tmp_path / "dest").exists()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["nowhere", "dest"], "nowhere: no such folder"),
        (["photos", "photos/dest"], "choose a destination outside"),
        (["photos", "dest", "--shortest-side", "0"], "shortest_side is 0: give 8 to 16384"),
        (["photos", "dest", "--val-fraction", "1"], "val_fraction is 1.0"),
        (["photos", "ftp://host/dest"], "ftp://"),
        (["empty", "dest"], "holds no objects"),
        (["photos"], "DEST"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(args, says, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    done = pcakd("shard", *args)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
