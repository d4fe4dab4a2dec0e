"""A part, in this process; the same function runs in Ray tasks."""

from typing import ClassVar

import pytest

import tasks.shards.part as part_module
from pcakd.errors import AccessError, TransientError
from pcakd.photos import outcomes
from pcakd.shards.plan import Part
from pcakd.shards.schema import SHARD_SCHEMA
from pcakd.storage import LocalStorage, open_storage
from pcakd.storage.parquet import read_parquet
from tasks.shards.part import PartJob, do_part, outcome_file, photos_file, run_part
from tests import kinds
from tests.corpus import bad_photos, good_photos, odd_photos


def make_job(source, tmp_path, **options) -> PartJob:
    options = {"shortest_side": 64, "quality": 90, "val_fraction": 0.3, "max_pixels": 1 << 28} | options
    return PartJob(source=source, work=open_storage(tmp_path / "work"), **options)


@pytest.fixture(params=["local", "s3"])
def source(request, tmp_path):
    if request.param == "local":
        return open_storage(tmp_path / "source")
    return open_storage(f"s3://{request.getfixturevalue('s3_server').new_bucket()}/photos")


def test_every_object_has_one_row_with_its_status(source, tmp_path):
    samples = good_photos(6) + odd_photos() + bad_photos()
    for sample in samples:
        source.write(sample.name, sample.data)
    source.write("vanishes.jpg", samples[0].data)
    part = Part(number=0, entries=list(source.list()))
    source.delete("vanishes.jpg")
    job = make_job(source, tmp_path)
    result = run_part(job, part, poison=frozenset({"good-0001.jpg"}))
    expected = {sample.name: sample.reason or "ok" for sample in samples}
    expected |= {"vanishes.jpg": "missing", "good-0001.jpg": "crashed"}
    assert {row["key"]: row["status"] for row in result.outcome.to_pylist()} == expected
    assert [row["key"] for row in result.outcome.to_pylist()] == [entry.key for entry in part.entries]
    assert all(row["detail"] for row in result.outcome.to_pylist() if row["status"] != "ok")
    photos = [
        row for split in ("train", "val") for row in read_parquet(job.work, photos_file("0000000", split)).to_pylist()
    ]
    assert {row["key"] for row in photos} == {name for name, status in expected.items() if status == "ok"}
    assert read_parquet(job.work, photos_file("0000000", "train")).schema == SHARD_SCHEMA
    assert all(row["source_uri"] == source.uri(row["key"]) for row in photos)
    assert read_parquet(job.work, outcome_file("0000000")) == result.outcome
    assert do_part(job, part, frozenset(), True).outcome == result.outcome


def test_what_is_no_photo_by_its_name_is_left_out_without_being_fetched(tmp_path):
    source = open_storage(tmp_path / "source")
    for name in (".DS_Store", "a.jpg", "a.jpg.json", "claims.jpg"):
        source.write(name, good_photos(1)[0].data if name == "a.jpg" else b"x")
    part = Part(number=0, entries=list(source.list()))
    for name in (".DS_Store", "a.jpg.json"):
        source.delete(name)
    rows = {row["key"]: row["status"] for row in run_part(make_job(source, tmp_path), part).outcome.to_pylist()}
    assert rows == {".DS_Store": "left-out", "a.jpg": "ok", "a.jpg.json": "left-out", "claims.jpg": "not-an-image"}


def test_of_a_file_with_several_pictures_the_row_says_which_was_taken(tmp_path):
    source = open_storage(tmp_path / "source")
    source.write("moving.gif", kinds.animation("GIF"))
    [row] = run_part(make_job(source, tmp_path), Part(number=0, entries=list(source.list()))).outcome.to_pylist()
    assert (row["status"], row["detail"]) == ("ok", "the first of 3 pictures in it")


class Faulty(LocalStorage):
    """Raises what `errors` says instead of reading a key."""

    errors: ClassVar[dict[str, Exception]] = {}

    def read_with_info(self, key):
        if key in self.errors:
            raise self.errors[key]
        return super().read_with_info(key)


def faulty(tmp_path, errors: dict[str, Exception]) -> Faulty:
    storage = Faulty(tmp_path / "source")
    storage.errors = errors
    for sample in good_photos(10):
        storage.write(sample.name, sample.data)
    return storage


def test_one_object_that_cannot_be_read_costs_only_itself(tmp_path):
    errors: dict[str, Exception] = {
        "good-0002.jpg": TransientError("cannot read: gave up"),
        "good-0003.jpg": AccessError("not allowed"),
    }
    source = faulty(tmp_path, errors)
    outcome = run_part(make_job(source, tmp_path), Part(number=0, entries=list(source.list()))).outcome.to_pylist()
    assert [row["status"] for row in outcome] == ["ok"] * 2 + ["unreachable", "denied"] + ["ok"] * 6


def test_refused_credentials_and_an_outage_end_the_job(tmp_path):
    refused = faulty(tmp_path, {"good-0002.jpg": AccessError("refused", credentials=True)})
    part = Part(number=0, entries=list(refused.list()))
    with pytest.raises(AccessError):
        run_part(make_job(refused, tmp_path), part)
    away = faulty(tmp_path, {entry.key: TransientError("gave up") for entry in part.entries})
    with pytest.raises(TransientError, match="in a row"):
        run_part(make_job(away, tmp_path), part)
    assert not make_job(away, tmp_path).work.exists(outcome_file("0000000"))


def test_a_decoder_that_fails_in_an_unforeseen_way_costs_one_photo(tmp_path, monkeypatch):
    source = faulty(tmp_path, {})

    def explode(data, *, name, **options):
        if name == "good-0004.jpg":
            raise RuntimeError("unforeseen\nin two lines")
        return real(data, name=name, **options)

    real = part_module.prepare_photo
    monkeypatch.setattr(part_module, "prepare_photo", explode)
    outcome = run_part(make_job(source, tmp_path), Part(number=0, entries=list(source.list()))).outcome.to_pylist()
    assert outcome[4]["status"] == "crashed"
    assert "\n" not in outcome[4]["detail"]
    assert sum(row["status"] == "ok" for row in outcome) == 9


def test_objects_over_the_size_limit_are_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(outcomes, "MAX_OBJECT_BYTES", 10)
    source = faulty(tmp_path, {"good-0000.jpg": AssertionError("fetched")})
    outcome = run_part(make_job(source, tmp_path), Part(number=0, entries=list(source.list()))).outcome.to_pylist()
    assert {row["status"] for row in outcome} == {"too-large"}
