"""A dataset that grows, without Ray: the same job, its calls made in this process and counted."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from pcakd.shards import ShardConfig, ShardDataset, open_dataset
from pcakd.shards import report as shards_report
from pcakd.storage import LocalStorage
from tasks.shards import generation, job, part, shard_dataset
from tests.corpus import jpeg


class Counted:
    """What a run did."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.decoded: list[str] = []
        self.written: list[str] = []
        self.rays = 0


@contextmanager
def here() -> Iterator[Counted]:
    """Sharding jobs run in this process in this block; what they do is counted."""
    counted = Counted()

    def run_all(function, calls, *, on_loss=None, retries=3):
        for call in calls:
            yield function(*call)

    def ray_cluster():
        counted.rays += 1
        return nullcontext()

    def prepare(data, *, name, **options):
        counted.decoded.append(name)
        return real_prepare(data, name=name, **options)

    def fetch(source, entry, poison):
        counted.fetched.append(entry.key)
        return real_fetch(source, entry, poison)

    def pack(dest, work, plan, *rest):
        counted.written.append(plan.name)
        return real_pack(dest, work, plan, *rest)

    real_prepare, real_fetch, real_pack = part.prepare_photo, part._fetch, generation.pack_shard
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "run_all", run_all)
        patch.setattr(job, "ray_cluster", ray_cluster)
        patch.setattr(part, "prepare_photo", prepare)
        patch.setattr(part, "_fetch", fetch)
        patch.setattr(generation, "pack_shard", pack)
        patch.setattr(shards_report, "draw_overview", lambda counts, photos: b"half a second of drawing")
        yield counted


def config(source: Path, dest: Path, **options) -> ShardConfig:
    options = {"val_fraction": 0.3, "shard_mb": 1, "part_objects": 8} | options
    return ShardConfig(source=str(source), dest=str(dest), **options)


def grow(source: Path, dest: Path, **options) -> Counted:
    """Take a source into a dataset."""
    with here() as counted:
        shard_dataset(config(source, dest, **options))
    return counted


def photos_of(dataset: ShardDataset) -> dict[str, tuple[str, str]]:
    """Key → split and content hash of the photos that count, each once, read from the shards."""
    found: dict[str, tuple[str, str]] = {}
    for split in ("train", "val"):
        for row in dataset.rows(split):
            assert row.key not in found
            assert hashlib.sha256(row.image).hexdigest() == row.sha256
            found[row.key] = split, row.sha256
        assert dataset.count(split) == sum(1 for _ in dataset.rows(split))
    return found


def objects_of(dataset: ShardDataset) -> dict[str, dict]:
    return {row["key"]: row for table in dataset.objects() for row in table.to_pylist()}


def write(folder: Path, contents: dict[str, int]) -> None:
    """Make a folder hold these photos: name → number of the picture; -1 is no picture."""
    folder.mkdir(exist_ok=True)
    storage = LocalStorage(folder)
    for entry in list(storage.list()):
        if entry.key not in contents:
            storage.delete(entry.key)
    for name, number in contents.items():
        data = b"this is no photo" if number < 0 else jpeg(number, 24, 32)
        if not storage.exists(name) or storage.read(name) != data:
            storage.write(name, data)


def assert_as_from_nothing(dest: Path, source: Path, fresh: Path, **options) -> None:
    """A dataset that grew holds what one does that is made at once."""
    grow(source, fresh, **options)
    grown, made = open_dataset(str(dest)), open_dataset(str(fresh))
    assert photos_of(grown) == photos_of(made)
    names = ("status", "split", "duplicate_of", "sha256", "source_sha256", "size", "etag", "detail", "source_width")
    told = [{key: [row[n] for n in names] for key, row in objects_of(one).items()} for one in (grown, made)]
    assert told[0] == told[1]
    assert list(told[0]) == list(told[1])
    for row in objects_of(grown).values():
        if row["status"] == "ok":
            keys = [r.key for r in grown.rows(row["split"], shards=[_shard(grown, row)])]
            assert row["key"] in keys
    grown.verify()


def _shard(dataset: ShardDataset, row: dict):
    (shard,) = [shard for shard in dataset.shards(row["split"]) if shard.file == row["shard"]]
    return shard
