import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pcakd.shards.plan import Photos, cut_into_parts, first_of_each, lay_into_shards
from pcakd.shards.schema import SPLITS
from pcakd.storage import ObjectInfo


def photos(contents: list[int], sizes: list[int], splits: list[int], part_of: int = 4) -> Photos:
    count = len(contents)
    part = np.arange(count, dtype=np.int32) // part_of
    row = np.zeros(count, np.int32)
    for number in range(count):
        row[number] = sum(part[i] == part[number] and splits[i] == splits[number] for i in range(number))
    return Photos(
        part=part,
        row=row,
        split=np.array(splits, np.int8),
        size=np.array(sizes, np.int64),
        sha256=np.array([content.to_bytes(32) for content in contents], "S32"),
    )


rows = st.lists(st.tuples(st.integers(1, 8), st.integers(1, 50), st.integers(0, 1)), max_size=30)


@given(rows, st.integers(1, 100))
def test_every_content_goes_into_exactly_one_shard_in_order(rows, shard_bytes):
    contents, sizes, splits = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    given = photos(contents, sizes, splits)
    first = first_of_each(given, np.zeros(0, "S32"))
    assert first.tolist() == [contents.index(content) for content in contents]
    plans, home = lay_into_shards(given, first == np.arange(len(given)), shard_bytes, {})
    place = {
        (int(p), int(s), int(r)): i for i, (p, s, r) in enumerate(zip(given.part, given.split, given.row, strict=True))
    }
    for code, split in enumerate(SPLITS):
        of_split = [plan for plan in plans if plan.split == split]
        taken = [[place[part, code, row] for part, rows in plan.takes for row in rows] for plan in of_split]
        flat = [index for shard in taken for index in shard]
        assert flat == [i for i in range(len(given)) if first[i] == i and splits[i] == code]
        assert [plan.name for plan in of_split] == [f"{split}/shard-{n:06d}.parquet" for n in range(len(of_split))]
        for plan, shard in zip(of_split, taken, strict=True):
            assert all(plans[home[index]] is plan for index in shard)
            assert sum(sizes[index] for index in shard[:-1]) < shard_bytes
        for shard in taken[:-1]:
            assert sum(sizes[index] for index in shard) >= shard_bytes


def test_contents_that_older_shards_hold_are_not_taken_again():
    given = photos([5, 1, 5, 7], [1] * 4, [0] * 4)
    known = np.sort(np.array([(5).to_bytes(32), (9).to_bytes(32)], "S32"))
    assert first_of_each(given, known).tolist() == [-1, 1, -1, 3]


def test_new_shards_are_numbered_after_the_older_ones():
    given = photos([1, 2], [1, 1], [0, 1])
    plans, _ = lay_into_shards(given, np.ones(2, bool), 10, {"train": 3, "val": 1})
    assert [plan.name for plan in plans] == ["train/shard-000003.parquet", "val/shard-000001.parquet"]


@given(st.lists(st.integers(0, 100 << 20), max_size=40), st.integers(1, 7))
def test_parts_hold_every_entry_once_in_order(sizes, part_objects):
    entries = [ObjectInfo(key=str(i), size=size, etag="", mtime=0.0) for i, size in enumerate(sizes)]
    parts = list(cut_into_parts(iter(entries), part_objects))
    assert [entry for part in parts for entry in part.entries] == entries
    assert [part.number for part in parts] == list(range(len(parts)))
    assert all(1 <= len(part.entries) <= part_objects for part in parts)
