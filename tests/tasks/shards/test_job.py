"""Whole sharding jobs on a real Ray cluster, local folders."""

import json
import random
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pcakd.errors import UsageError
from pcakd.photos.images import read_photo
from pcakd.shards import ShardConfig, ShardDataset, open_dataset
from pcakd.storage.local import TEMPORARY
from tasks.shards import shard_dataset
from tests.command import pcakd, start_pcakd
from tests.corpus import bad_photos, good_photos, jpeg, odd_photos

pytestmark = pytest.mark.slow

ODD_NAMES = [
    "a b.jpg",
    "ü/写真.jpg",
    "100%.jpg",
    "100%25.jpg",
    "a..b.jpg",
    "new\nline.jpg",
    "quote'\".jpg",
    "no-utf8-\udcff.jpg",
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """700 good photos, every odd and bad one, odd names, duplicates, a dangling link."""
    folder = tmp_path_factory.mktemp("corpus")
    for sample in good_photos(700) + odd_photos() + bad_photos():
        (folder / sample.name).write_bytes(sample.data)
    for number, name in enumerate(ODD_NAMES):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(jpeg(3000 + number))
    (folder / "zz-copy.jpg").write_bytes(jpeg(0))
    (folder / "zz-copy-2.jpg").write_bytes(jpeg(0))
    (folder / "dangling.jpg").symlink_to(folder / "nowhere")
    return folder


LISTED = 700 + len(odd_photos()) + len(bad_photos()) + len(ODD_NAMES) + 3
GOOD = 700 + len(odd_photos()) + len(ODD_NAMES)


@pytest.fixture(scope="module")
def sharded(corpus, ray_cluster, tmp_path_factory) -> Path:
    """The corpus sharded without interruption, by the command, in shards of 1 MB."""
    dest = tmp_path_factory.mktemp("sharded") / "dest"
    done = pcakd("shard", corpus, dest, "--shard-size", 1, "--val-fraction", 0.1, RAY_ADDRESS=ray_cluster)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{GOOD:,} photos" in done.stdout
    assert "not-an-image" in done.stdout
    return dest


def content(dest: Path) -> dict[str, bytes]:
    """Every file of a dataset but the record of the run, which holds times."""
    files = {str(path.relative_to(dest)): path.read_bytes() for path in dest.rglob("*") if path.is_file()}
    del files["run.json"]
    return files


def test_rows_in_shards_and_objects_left_out_add_up_to_the_objects_listed(sharded, corpus):
    dataset = open_dataset(str(sharded))
    objects = [row for table in dataset.objects() for row in table.to_pylist()]
    assert len(objects) == LISTED
    status = {row["key"]: row["status"] for row in objects}
    for sample in bad_photos():
        assert status[sample.name] == sample.reason
    assert status["dangling.jpg"] == "missing"
    copies = {row["key"]: row["duplicate_of"] for row in objects if row["status"] == "duplicate"}
    assert copies == {"zz-copy.jpg": "good-0000.jpg", "zz-copy-2.jpg": "good-0000.jpg"}
    ok = [row for row in objects if row["status"] == "ok"]
    rows = [row for split in ("train", "val") for row in dataset.rows(split)]
    assert len(ok) == len(rows) == GOOD
    assert len(objects) == len(rows) + sum(row["status"] != "ok" for row in objects)
    assert {row["key"] for row in ok} == {row.key for row in rows}
    counts = json.loads((sharded / "stats.json").read_text())
    assert counts["objects"] == LISTED
    assert sum(counts["status"].values()) == LISTED
    assert counts["source_bytes"] == sum(path.stat().st_size for path in corpus.rglob("*") if path.is_file())


def test_rows_are_in_the_order_of_the_keys_and_in_the_shard_that_the_table_names(sharded):
    dataset = open_dataset(str(sharded))
    shard_of = {row["key"]: row["shard"] for table in dataset.objects() for row in table.to_pylist()}
    assert len(dataset.shards("train")) > 1
    for split in ("train", "val"):
        keys = [row.key for row in dataset.rows(split)]
        assert keys == sorted(keys)
        for shard in dataset.shards(split):
            assert {shard_of[row.key] for row in dataset.rows(split, shards=[shard])} == {shard.file}
    dataset.verify()


def test_photos_in_shards_are_upright_and_shrunk(sharded):
    for row in open_dataset(str(sharded)).rows("train"):
        photo = read_photo(row.image)
        assert photo.size == (row.height, row.width)
        if row.key == "rotated.jpg":
            assert photo.size == (128, 96)
        if row.key == "large.jpg":
            assert photo.size == (512, 683)


def test_a_picture_of_the_dataset_is_drawn(sharded):
    picture = read_photo(sharded / "overview.png").rgb
    assert picture.shape == (900, 1200, 3)
    assert np.unique(picture.reshape(-1, 3), axis=0).shape[0] > 1000


def test_a_finished_job_run_again_does_nothing(sharded, corpus):
    before = content(sharded)
    started = time.monotonic()
    again = pcakd("shard", corpus, sharded, "--shard-size", 1, "--val-fraction", 0.1)
    assert again.returncode == 3
    assert "nothing new" in again.stdout
    assert content(sharded) == before
    assert time.monotonic() - started < 30


def test_another_job_cannot_write_over_a_dataset(sharded, corpus, tmp_path):
    done = pcakd("shard", corpus, sharded, "--shard-size", 2, "--val-fraction", 0.1)
    assert done.returncode == 2
    assert "shard_mb 1" in done.stderr
    assert done.stderr.count("\n") == 1
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"not empty.*notes\.txt"):
        shard_dataset(ShardConfig(source=str(corpus), dest=str(tmp_path)))
    with pytest.raises(UsageError, match="lie in each other"):
        shard_dataset(ShardConfig(source=str(corpus), dest=str(corpus / "out")))


def files_under(dest: Path) -> int:
    return sum(not path.name.startswith(TEMPORARY) for path in dest.rglob("*.*"))


def test_killed_at_five_random_points_the_result_is_the_same_to_the_byte(sharded, corpus, ray_cluster, tmp_path):
    dest = tmp_path / "dest"
    args = ("shard", corpus, dest, "--shard-size", 1, "--val-fraction", 0.1)
    chance = random.Random(20)
    # Points on the way are numbers of files written: the run ends with 7 + shards, on the way it has 2 or 3 a part.
    points = sorted(chance.sample(range(1, 22), 5))
    killed = 0
    for number, point in enumerate(points):
        # The first on a Ray of its own, which must die with it.
        process = start_pcakd(*args, RAY_ADDRESS="" if number == 0 else ray_cluster)
        try:
            while process.poll() is None and files_under(dest) < point:
                time.sleep(0.002)
            time.sleep(chance.uniform(0, 0.05))
        finally:
            process.kill()
        killed += process.wait() == -9
        for path in dest.rglob("*.parquet"):
            if not path.name.startswith(TEMPORARY):
                pq.ParquetFile(path, page_checksum_verification=True).read()
    assert killed == 5, f"the job was over before the points {points}"
    done = pcakd(*args, RAY_ADDRESS=ray_cluster)
    assert done.returncode == 3, done.stderr
    assert content(dest) == content(sharded)


def test_retry_failed_takes_what_may_pass_and_keeps_the_shards(ray_cluster, tmp_path):
    source, dest = tmp_path / "source", tmp_path / "dest"
    source.mkdir()
    for sample in good_photos(20) + bad_photos():
        (source / sample.name).write_bytes(sample.data)
    (source / "late.jpg").symlink_to(source / ".." / "late")
    (source / "late-copy.jpg").symlink_to(source / ".." / "late-copy")
    (source / "never.jpg").symlink_to(source / ".." / "never")
    config = ShardConfig(source=str(source), dest=str(dest), val_fraction=0.2)
    first = shard_dataset(config)
    assert (first.may_pass, first.failed) == (3, 3 + len(bad_photos()))
    before = content(dest)
    # Mended; what was damaged is another object now, and taken in for that.
    (tmp_path / "late").write_bytes(jpeg(500))
    (tmp_path / "late-copy").write_bytes(jpeg(3))
    (source / "empty.jpg").write_bytes(jpeg(501))
    second = shard_dataset(config, retry_failed=True)
    assert (second.recovered, second.may_pass, second.processed) == (2, 1, 4)
    after = content(dest)
    kept = [name for name in before if name.startswith(("train/", "val/"))]
    assert all(after[name] == before[name] for name in kept)
    dataset = open_dataset(str(dest))
    dataset.verify()
    status = {row["key"]: row for table in dataset.objects() for row in table.to_pylist()}
    assert len(status) == 20 + len(bad_photos()) + 3
    assert status["late.jpg"]["status"] == "ok"
    assert (status["late-copy.jpg"]["status"], status["late-copy.jpg"]["duplicate_of"]) == (
        "duplicate",
        "good-0003.jpg",
    )
    assert (status["never.jpg"]["status"], status["empty.jpg"]["status"]) == ("missing", "ok")
    assert dataset.count("train") + dataset.count("val") == 22
    assert sorted(name for name in after if name.startswith("objects")) == ["objects-1.parquet", "objects.parquet"]
    third = shard_dataset(config, retry_failed=True)
    assert (third.recovered, third.may_pass) == (0, 1)


def test_a_photo_that_kills_its_worker_costs_only_itself(ray_cluster, tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.mkdir()
    for sample in good_photos(6):
        (source / sample.name).write_bytes(sample.data)
    (source / "killer.jpg").write_bytes(jpeg(7))
    monkeypatch.setattr("tasks.shards.generation.do_part", deadly())
    monkeypatch.setattr("tasks.shards.generation.probe", deadly_probe())
    report = shard_dataset(ShardConfig(source=str(source), dest=str(tmp_path / "dest")))
    assert report.counts["status"]["ok"] == 6
    assert report.counts["status"]["crashed"] == 1


def deadly():
    """`do_part` that dies on killer.jpg unless it is told to leave it out."""
    from tasks.shards.part import do_part

    def run(job, part, poison, finished, known):
        import os

        if "killer.jpg" in {entry.key for entry in part.entries} - poison:
            os.abort()
        return do_part(job, part, poison, finished, known)

    return run


def deadly_probe():
    def run(job, entry):
        import os

        if entry.key == "killer.jpg":
            os.abort()

    return run


def test_limit_takes_the_first_objects(corpus, ray_cluster, tmp_path):
    report = shard_dataset(ShardConfig(source=str(corpus), dest=str(tmp_path / "dest"), limit=5))
    assert report.counts["objects"] == 5
    assert isinstance(open_dataset(str(tmp_path / "dest")), ShardDataset)
