"""What one night costs a large dataset: everything that is fetched, decoded, run through the teacher or written counts.

2,000 photos; then 5 new, 2 changed and 1 removed, all of them touched.
"""

from pathlib import Path

import pytest

from pcakd.shards import open_dataset
from tests.corpus import jpeg
from tests.pcakd.distillation import parts
from tests.tasks.eigenbases.test_cache import fit
from tests.tasks.shards.histories import grow, objects_of

PHOTOS = 2_000
SETTINGS = {"val_fraction": 0.0, "shard_mb": 1, "part_objects": 256}


def files(folder: Path) -> dict[Path, tuple[int, int]]:
    """Every file with its size and the moment of its last writing."""
    found = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_a_night_costs_its_seven_photos_and_one_shards_sum_and_a_night_of_nothing_nothing(tmp_path):
    source, shards = tmp_path / "source", tmp_path / "shards"
    teacher = str(parts.write_inputs(tmp_path) / "teacher.safetensors")
    source.mkdir()
    for number in range(PHOTOS):
        (source / f"{number:06d}.jpg").write_bytes(jpeg(number, 24, 32))
    grow(source, shards, **SETTINGS)
    seen, _ = fit(shards, tmp_path / "0", teacher)
    assert len(seen) == 1 + PHOTOS
    before, rows = files(shards), objects_of(open_dataset(str(shards)))
    touched = rows["000000.jpg"]["shard"]
    assert rows["000002.jpg"]["shard"] == touched
    left = sum(row["shard"] == touched for row in rows.values()) - 3
    assert left < PHOTOS - 3, "there is more than one shard"

    for number in range(5):
        (source / f"9{number:05d}.jpg").write_bytes(jpeg(PHOTOS + number, 24, 32))
    for number in range(2):
        (source / f"{number:06d}.jpg").write_bytes(jpeg(PHOTOS + 10 + number, 24, 32))
    (source / "000002.jpg").unlink()
    for path in source.iterdir():
        path.touch()
    seven = {f"9{number:05d}.jpg" for number in range(5)} | {"000000.jpg", "000001.jpg"}
    counted = grow(source, shards, **SETTINGS)
    assert (set(counted.fetched), set(counted.decoded)) == (seven, seven)
    assert (len(counted.fetched), len(counted.decoded), len(counted.written), counted.rays) == (7, 7, 1, 1)
    after = files(shards)
    written = {path: size for path, (size, at) in after.items() if before.get(path) != (size, at)}
    (shard,) = [path for path in written if path.name.startswith("shard-")]
    photos = sum(row["bytes"] for row in objects_of(open_dataset(str(shards))).values() if row["key"] in seven)
    assert photos < written[shard] < photos + 8_000, "the photos, and Parquet's own"
    tables = {path.name for path in written} - {shard.name}
    assert tables == {"objects-1.parquet", "manifest.json", "stats.json", "overview.png", "run.json"}

    seen, _ = fit(shards, tmp_path / "1", teacher)
    assert seven < set(seen)
    assert len(seen) == 1 + 7 + left, "Ray once, the seven, and what is left of the shard that lost three"
    sums = set(files(shards)) - set(after)
    assert len(sums) == 2, "of the new shard, and of the one that lost three"

    for path in source.iterdir():
        path.touch()
    before = files(shards)
    counted = grow(source, shards, **SETTINGS)
    seen, _ = fit(shards, tmp_path / "2", teacher)
    assert (counted.fetched, counted.decoded, counted.written, counted.rays, seen) == ([], [], [], 0, [])
    assert files(shards) == before
