"""A dataset that grows by generations."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pcakd.errors import UsageError
from pcakd.shards import open_dataset, tables
from pcakd.storage import LocalStorage, local, open_storage
from pcakd.storage.etags import former_etag
from pcakd.storage.parquet import read_parquet, write_parquet
from pcakd.storage.stage import StageOutput
from tasks.shards import compaction, generation, objects, shard_dataset
from tasks.shards.stage import _place, shard_stage
from tests.tasks.shards.histories import (
    assert_as_from_nothing,
    config,
    grow,
    here,
    objects_of,
    photos_of,
    write,
)
from tests.tasks.stages.untracked import session


def files(dest: Path) -> dict[str, bytes]:
    """Shards."""
    return {str(path.relative_to(dest)): path.read_bytes() for path in dest.rglob("shard-*.parquet")}


@pytest.fixture
def grown(tmp_path) -> tuple[Path, Path]:
    """A source of 40 photos and the dataset of it."""
    source, dest = tmp_path / "source", tmp_path / "dest"
    write(source, {f"{n:03d}.jpg": n for n in range(40)})
    grow(source, dest)
    return source, dest


def test_only_what_is_new_or_changed_is_fetched_and_decoded(grown, tmp_path):
    source, dest = grown
    before, old = files(dest), photos_of(open_dataset(str(dest)))
    contents = {f"{n:03d}.jpg": n for n in range(40)} | {"001.jpg": 101, "002.jpg": 102, "new.jpg": 103, "z.jpg": 104}
    del contents["003.jpg"]
    write(source, contents)
    for path in source.iterdir():
        path.touch()
    counted = grow(source, dest)
    assert sorted(counted.fetched) == sorted(counted.decoded) == ["001.jpg", "002.jpg", "new.jpg", "z.jpg"]
    after = files(dest)
    assert {name: after[name] for name in before} == before, "finished shards stay as they are"
    assert set(after) - set(before) == set(counted.written)
    manifest = json.loads((dest / "manifest.json").read_text())
    assert (manifest["generation"], manifest["changes"]) == (1, {"added": 2, "changed": 2, "removed": 1})
    first = open_dataset(f"{dest}/generations/000000")
    assert photos_of(first) == old, "an older generation is read as it was"
    assert "003.jpg" in objects_of(first)
    assert_as_from_nothing(dest, source, tmp_path / "fresh")


def test_nothing_new_costs_a_listing_and_starts_no_ray(grown):
    source, dest = grown
    for path in source.iterdir():
        path.touch()
    before = {path: path.read_bytes() for path in dest.rglob("*") if path.is_file()}
    counted = grow(source, dest)
    assert (counted.fetched, counted.decoded, counted.written, counted.rays) == ([], [], [], 0)
    assert {path: path.read_bytes() for path in dest.rglob("*") if path.is_file()} == before


def test_a_removal_alone_writes_no_shard_and_starts_no_ray(grown, tmp_path):
    source, dest = grown
    before = files(dest)
    (source / "007.jpg").unlink()
    counted = grow(source, dest)
    assert (counted.fetched, counted.rays) == ([], 0)
    assert files(dest) == before
    assert_as_from_nothing(dest, source, tmp_path / "fresh")


def test_a_photo_under_another_name_is_fetched_and_not_decoded_again(grown, tmp_path):
    source, dest = grown
    (source / "005.jpg").rename(source / "renamed.jpg")
    shutil.copy(source / "006.jpg", source / "zz-copy.jpg")
    counted = grow(source, dest)
    assert (counted.fetched, counted.decoded) == (["renamed.jpg", "zz-copy.jpg"], [])
    assert objects_of(open_dataset(str(dest)))["zz-copy.jpg"]["duplicate_of"] == "006.jpg"
    assert_as_from_nothing(dest, source, tmp_path / "fresh")


def test_of_the_same_pictures_the_first_key_counts_whichever_came_earlier(grown, tmp_path):
    source, dest = grown
    shutil.copy(source / "006.jpg", source / "000-copy.jpg")
    shutil.copy(source / "006.jpg", source / "zz-copy.jpg")
    grow(source, dest)
    rows = objects_of(open_dataset(str(dest)))
    assert (rows["006.jpg"]["status"], rows["006.jpg"]["duplicate_of"]) == ("duplicate", "000-copy.jpg")
    assert_as_from_nothing(dest, source, tmp_path / "fresh")
    (source / "000-copy.jpg").unlink()
    counted = grow(source, dest)
    assert counted.decoded == []
    assert_as_from_nothing(dest, source, tmp_path / "fresher")


class OtherEtags(LocalStorage):
    """As a bucket after its objects were copied in other pieces."""

    def list(self, prefix=""):
        from pcakd.storage import ObjectInfo

        for entry in super().list(prefix):
            yield ObjectInfo(key=entry.key, size=entry.size, etag=f"{entry.etag}-2", mtime=entry.mtime)

    def unchanged(self, now, size, etag):
        return (now.size, now.etag) == (size, etag)


def test_another_etag_of_the_same_bytes_costs_fetches_and_leaves_the_dataset_what_it_was(grown, monkeypatch):
    source, dest = grown
    before, digest = files(dest), open_dataset(str(dest)).digest

    def places(source, dest):
        return OtherEtags(source), LocalStorage(dest)

    monkeypatch.setattr("tasks.shards.job.open_places", places)
    counted = grow(source, dest)
    assert (len(counted.fetched), counted.decoded, counted.written) == (40, [], [])
    assert files(dest) == before
    assert open_dataset(str(dest)).digest == digest
    assert grow(source, dest).fetched == []


def test_a_dataset_of_before_goes_on_growing(grown, tmp_path):
    """Local ETags of size and time, no hashes of sources, no numbers: as it was written yesterday."""
    source, dest = grown
    table = read_parquet(LocalStorage(dest), "objects.parquet").drop_columns(["source_sha256"])
    etags = [former_etag((source / key).stat()) for key in table["key"].to_pylist()]
    table = table.set_column(table.schema.get_field_index("etag"), table.schema.field("etag"), [etags])
    write_parquet(LocalStorage(dest), "objects.parquet", table)
    manifest = json.loads((dest / "manifest.json").read_text())
    for name in ("next_numbers", "changes", "listing"):
        del manifest[name]
    (dest / "manifest.json").write_text(json.dumps(manifest | {"inputs": {"source": str(source), "listing": "0" * 64}}))
    shutil.rmtree(dest / "generations")
    assert grow(source, dest).fetched == []
    write(source, {f"{n:03d}.jpg": n for n in range(1, 41)})
    counted = grow(source, dest)
    assert counted.fetched == ["040.jpg"]
    assert len(photos_of(open_dataset(f"{dest}/generations/000000"))) == 40
    assert len(photos_of(open_dataset(str(dest)))) == 40


def test_many_small_shards_are_packed_anew_and_older_generations_stay(grown, tmp_path, monkeypatch):
    monkeypatch.setattr(compaction, "MANY", 3)
    source, dest = grown
    contents = {f"{n:03d}.jpg": n for n in range(40)}
    generations = {}
    for night in range(5):
        contents |= {f"n{night}-{n}.jpg": 200 + 10 * night + n for n in range(6)}
        contents.pop(f"{night:03d}.jpg")
        write(source, contents)
        counted = grow(source, dest)
        assert sorted(counted.decoded) == [f"n{night}-{n}.jpg" for n in range(6)]
        dataset = open_dataset(str(dest))
        assert all(len(dataset.shards(split)) <= 4 for split in ("train", "val"))
        generations[f"{dest}/generations/{night + 1:06d}"] = photos_of(dataset)
    for place, photos in generations.items():
        assert photos_of(open_dataset(place)) == photos
    assert_as_from_nothing(dest, source, tmp_path / "fresh")


def test_an_empty_source_takes_nothing_away(grown):
    source, dest = grown
    before = photos_of(open_dataset(str(dest)))
    write(source, {})
    with pytest.raises(UsageError, match="holds no objects"):
        grow(source, dest)
    assert photos_of(open_dataset(str(dest))) == before


def test_what_failed_for_a_reason_that_may_pass_is_taken_again_when_asked_for(tmp_path):
    source, dest = tmp_path / "source", tmp_path / "dest"
    write(source, {f"{n}.jpg": n for n in range(4)} | {"text.jpg": -1})
    (source / "late.jpg").symlink_to(tmp_path / "late")
    grow(source, dest)
    assert grow(source, dest).fetched == []
    with here() as counted:
        report = shard_dataset(config(source, dest), retry_failed=True)
    assert (counted.fetched, report.may_pass) == (["late.jpg"], 1)
    shutil.copy(source / "1.jpg", tmp_path / "late")
    assert grow(source, dest).fetched == ["late.jpg"], "mended, it is another object"
    assert objects_of(open_dataset(str(dest)))["late.jpg"]["duplicate_of"] == "1.jpg"


class KilledError(BaseException):
    """The process has ended here."""


@pytest.mark.slow
def test_killed_at_any_write_it_goes_on_to_the_same_generation(grown, tmp_path, monkeypatch):
    source, dest = grown
    contents = {f"{n:03d}.jpg": n for n in range(3, 40)} | {f"new-{n}.jpg": 300 + n for n in range(12)}
    contents |= {"004.jpg": 400, "000-copy.jpg": 5}
    write(source, contents)
    start = tmp_path / "start"
    shutil.copytree(dest, start)
    grow(source, dest)
    wanted = {path.relative_to(dest): path.read_bytes() for path in dest.rglob("*") if path.is_file()}
    old = photos_of(open_dataset(str(start)))
    del wanted[Path("run.json")]
    real, killed = local._published, 0
    for deadline in range(40):
        again = tmp_path / "again"
        shutil.copytree(start, again)
        writes = 0

        def published(*args, last=deadline, **options):
            nonlocal writes
            writes += 1
            if writes > last:
                raise KilledError
            return real(*args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(local, "_published", published)
            try:
                grow(source, again)
            except KilledError:
                killed += 1
        assert photos_of(open_dataset(str(again))) in (old, photos_of(open_dataset(str(dest))))
        # A reader of the older generation, in the middle of it.
        assert photos_of(open_dataset(f"{again}/generations/000000")) == old
        grow(source, again)
        found = {path.relative_to(again): path.read_bytes() for path in again.rglob("*") if path.is_file()}
        del found[Path("run.json")]
        same = {name: data for name, data in found.items() if name.name != "manifest.json"}
        assert same == {name: data for name, data in wanted.items() if name.name != "manifest.json"}
        shutil.rmtree(again)
        if writes <= deadline:
            break
    assert killed > 10


def test_a_listing_that_was_given_up_leaves_no_shards_in_the_way(grown, tmp_path, monkeypatch):
    source, dest = grown
    write(source, {f"{n:03d}.jpg": n for n in range(41)})

    def refuse(*args, **kwargs):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(generation, "write_objects", refuse)
        with pytest.raises(KilledError):
            grow(source, dest)
    shutil.rmtree(dest / "_work")
    write(source, {f"{n:03d}.jpg": n for n in range(40)} | {"other.jpg": 77})
    grow(source, dest)
    assert_as_from_nothing(dest, source, tmp_path / "fresh")


def test_what_an_interrupted_run_had_listed_is_finished_then_what_came_since_is_taken_in(grown, tmp_path, monkeypatch):
    source, dest = grown
    write(source, {f"{n:03d}.jpg": n for n in range(41)})

    def refuse(*args, **kwargs):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(generation, "write_objects", refuse)
        with pytest.raises(KilledError):
            grow(source, dest)
    write(source, {f"{n:03d}.jpg": n for n in range(42)})
    counted = grow(source, dest)
    assert counted.fetched == ["041.jpg"], "the other one was fetched before"
    assert json.loads((dest / "manifest.json").read_text())["generation"] == 2
    assert_as_from_nothing(dest, source, tmp_path / "fresh")


def test_a_stage_goes_on_in_the_dataset_of_yesterday_and_gives_the_place_of_the_generation(tmp_path, monkeypatch):
    source, workspace = tmp_path / "source", tmp_path / "workspace"
    write(source, {f"{n}.jpg": n for n in range(5)})
    options = {"val_fraction": 0.3, "shard_mb": 1}
    grow(source, workspace / "shards" / "former", part_objects=128, **options)
    monkeypatch.setattr("tasks.stages.session.Session.attach_ray", lambda self: None)

    def stage():
        with here() as counted, session(workspace) as one:
            return shard_stage.fn(one, source=str(source), **options), counted

    found, counted = stage()
    assert (found.reused, counted.fetched, counted.rays) == (True, [], 0)
    (workspace / "shards" / found.key / "place.json").unlink()
    manifest = workspace / "shards" / "former" / "manifest.json"
    kept = manifest.read_text()
    manifest.unlink()
    (manifest.parent / "_work").mkdir()
    begun = {"source": str(source), "params": config(source, workspace, part_objects=128, **options).params()}
    (manifest.parent / "_work" / "job.json").write_text(json.dumps(begun))
    one = StageOutput.open(open_storage(workspace), "shards", inputs={"source": str(source)}, params=begun["params"])
    assert _place(open_storage(workspace), one).uri().endswith("/former"), "one that was only begun, too"
    shutil.rmtree(manifest.parent / "_work")
    manifest.write_text(kept)
    assert found.place == f"{workspace}/shards/former/generations/000000"
    write(source, {f"{n}.jpg": n for n in range(6)})
    grown, counted = stage()
    assert (grown.reused, counted.fetched) == (False, ["5.jpg"])
    assert grown.place == f"{workspace}/shards/former/generations/000001"
    assert grown.key == found.key
    assert open_dataset(found.place).digest == found.manifest["digest"] != grown.manifest["digest"]
    assert len(photos_of(open_dataset(found.place))) == 5


NAMES = [f"{letter}{n}.jpg" for letter in "amz" for n in range(3)]
SOURCES = st.dictionaries(st.sampled_from(NAMES), st.integers(-1, 5), min_size=1)


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(SOURCES, min_size=2, max_size=5))
def test_after_any_history_a_dataset_is_the_one_that_is_made_at_once(tmp_path_factory, history):
    folder = tmp_path_factory.mktemp("history")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "MANY", 2)
        patch.setattr(objects, "ROWS", 3)
        patch.setattr(tables, "LISTING_ROWS", 2)
        seen = {}
        for night, contents in enumerate(history):
            write(folder / "source", contents)
            grow(folder / "source", folder / "dest")
            assert_as_from_nothing(folder / "dest", folder / "source", folder / f"fresh-{night}")
            number = json.loads((folder / "dest" / "manifest.json").read_text())["generation"]
            place = f"{folder}/dest/generations/{number:06d}"
            seen[place] = photos_of(open_dataset(str(folder / "dest")))
        for place, photos in seen.items():
            assert photos_of(open_dataset(place)) == photos
