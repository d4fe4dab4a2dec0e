"""Taking in, ended by SIGKILL at each of its steps, and begun again."""

import shutil
from collections.abc import Iterator
from itertools import chain, count, islice
from pathlib import Path

import pytest

from pcakd.shards import ShardRow, open_dataset
from tasks.shards import compaction
from tests.tasks.shards.histories import grow, photos_of, write
from tests.tasks.shards.killing import MANY, Taking, taking

TIMES = "run.json"
"""The one file that says how long a run took."""


@pytest.fixture(scope="module")
def runs() -> Iterator[Taking]:
    with taking() as found:
        yield found


@pytest.fixture(autouse=True)
def _few_small_shards_are_many(monkeypatch) -> None:
    monkeypatch.setattr(compaction, "MANY", MANY)


def files(dest: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(dest)): path.read_bytes() for path in dest.rglob("*") if path.is_file()}
    return {name: data for name, data in found.items() if name != TIMES}


def reading(place: str) -> Iterator[ShardRow]:
    """The photos of a generation; its shards are opened as they are come to."""
    dataset = open_dataset(place)
    return chain(dataset.rows("train"), dataset.rows("val"))


def photos(contents: range) -> dict[str, int]:
    return {f"{number:02d}.jpg": number for number in contents}


@pytest.mark.slow
def test_killed_at_any_step_of_a_generation_more_it_goes_on_to_the_same_one_while_older_ones_are_read(runs, tmp_path):
    source, start = tmp_path / "source", tmp_path / "start"
    for nights in (6, 9, 12):
        write(source, photos(range(nights)))
        grow(source, start)
    # New, changed, gone, a copy that comes first, no photo; and the small shards are packed anew.
    write(source, photos(range(1, 16)) | {"04.jpg": 40, "00-copy.jpg": 5, "text.jpg": -1})
    older = {
        f"generations/{number:06d}": photos_of(open_dataset(f"{start}/generations/{number:06d}")) for number in range(3)
    }
    old = [(row.key, row.sha256) for row in reading(f"{start}/generations/000002")]
    shutil.copytree(start, whole := tmp_path / "whole")
    grow(source, whole)
    wanted, new = files(whole), photos_of(open_dataset(str(whole)))
    assert len([name for name in wanted if "shard-" in name]) > len([name for name in files(start) if "shard-" in name])

    for change in count():
        shutil.copytree(start, dest := tmp_path / str(change))
        reader = reading(f"{dest}/generations/000002")
        read = list(islice(reader, 5))
        killed = runs.killed_at(change, source, dest)
        read += islice(reader, 3)
        # What is there is the generation of before or the new one, whole.
        newest = open_dataset(str(dest))
        newest.verify()
        assert photos_of(newest) == (new if newest.manifest["generation"] == 3 else older["generations/000002"])
        counted = grow(source, dest)
        assert files(dest) == wanted, f"killed before change {change}"
        read += reader
        assert [(row.key, row.sha256) for row in read] == old
        for place, those in older.items():
            assert photos_of(open_dataset(f"{dest}/{place}")) == those
        open_dataset(str(dest)).verify()
        shutil.rmtree(dest)
        if not killed:
            assert (counted.fetched, counted.written) == ([], [])
            break
    assert change > 40


@pytest.mark.slow
def test_killed_at_any_step_of_the_first_generation_it_goes_on_to_the_same_one(runs, tmp_path):
    source = tmp_path / "source"
    write(source, photos(range(10)) | {"copy.jpg": 5, "text.jpg": -1})
    grow(source, whole := tmp_path / "whole")
    wanted = files(whole)
    for change in count():
        dest = tmp_path / str(change)
        killed = runs.killed_at(change, source, dest)
        grow(source, dest)
        assert files(dest) == wanted, f"killed before change {change}"
        open_dataset(str(dest)).verify()
        shutil.rmtree(dest)
        if not killed:
            break
    assert change > 20
