"""Results as shards: whole, once each, whatever ends whoever writes them."""

import io
import json
from collections import Counter

import pytest
import webdataset
from PIL import Image

from pcakd.bulk import Ledger
from pcakd.bulk.packing import pack_results
from pcakd.errors import UsageError
from pcakd.storage import LocalStorage, open_storage, sha256_hex
from pcakd.storage.parquet import read_parquet
from tests.corpus import jpeg
from tests.pcakd.bulk.made import KilledError, MortalStorage, fill, resolved, row

COUNT = 12
ODD = "a.b/with. dots.ü.jpg"


class Done:
    """A job that is done, with its results: twelve photos in two styles, of which two items failed."""

    def __init__(self, folder, place: str) -> None:
        fill(folder / "in", COUNT - 1)
        (folder / "in" / "a.b").mkdir()
        (folder / "in" / ODD).write_bytes(b"x")
        self.dest, self.place = open_storage(folder / "out"), open_storage(place)
        self.ledger = Ledger.open(self.dest, resolved(folder / "in", folder / "out"))
        self.snapshot = self.ledger.begin(open_storage(folder / "in"), part_items=10)
        self.results: dict[tuple[str, str], bytes] = {}
        for part in range(self.snapshot.parts):
            rows = []
            for number, item in enumerate(self.snapshot.items(part).to_pylist()):
                if (part, number) in ((0, 3), (1, 0)):
                    rows.append(row(item, "truncated"))
                    continue
                data = jpeg(10 * part + number, 16, 24)
                self.dest.write(item["output"], data)
                self.results[item["key"], item["style"]] = data
                rows.append(row(item, output_size=len(data), sha256=sha256_hex(data)))
            self.snapshot.append(part, rows, "run")
        self.snapshot.finish()

    def pack(self, kind: str, place=None, shard_bytes: int = 4000):
        place = self.place if place is None else place
        job_id = self.ledger.resolved.job_id
        return pack_results(self.snapshot, self.dest, place, kind, job_id=job_id, shard_bytes=shard_bytes)

    def files(self) -> dict[str, bytes]:
        return {entry.key: self.place.read(entry.key) for entry in self.place.list()}


@pytest.fixture
def done(tmp_path) -> Done:
    return Done(tmp_path, str(tmp_path / "shards"))


def test_webdataset_reads_every_good_result_once_with_its_key_and_row(done):
    packed = done.pack("webdataset")
    assert packed.rows == len(done.results) == 2 * COUNT - 2
    assert packed.shards > 2
    urls = [f"file:{packed.place}/shard-{number:06d}.tar" for number in range(packed.shards)]
    found = {}
    for sample in webdataset.WebDataset(urls, shardshuffle=False).decode("pil"):
        one = sample["json"]
        assert sample["jpg"].size == (24, 16)
        assert (one["status"], one["width"], one["run"]) == ("ok", 4, "run")
        assert (one["key"], one["style"]) not in found
        found[one["key"], one["style"]] = one["sha256"]
    assert found == {name: sha256_hex(data) for name, data in done.results.items()}
    assert (ODD, "a") in found
    index = read_parquet(open_storage(packed.place), "index.parquet").to_pylist()
    assert {(one["key"], one["style"]) for one in index} == set(found)
    manifest = json.loads(open_storage(packed.place).read("manifest.json"))
    assert {one["name"]: one["rows"] for one in manifest["shards"]} == Counter(one["shard"] for one in index)


def test_parquet_has_the_final_rows_and_the_results(done):
    packed = done.pack("parquet")
    folder = open_storage(packed.place)
    rows = [one for n in range(packed.shards) for one in read_parquet(folder, f"shard-{n:06d}.parquet").to_pylist()]
    assert {(one["key"], one["style"]): one["image"] for one in rows} == done.results
    assert len(rows) == packed.rows
    assert Image.open(io.BytesIO(rows[0]["image"])).size == (24, 16)
    assert rows[0]["output_size"] == len(rows[0]["image"])
    again = done.pack("parquet")
    assert (again.reused, again.rows, again.shards) == (True, packed.rows, packed.shards)


@pytest.mark.parametrize("kind", ["webdataset", "parquet"])
def test_killed_before_any_change_the_same_shards_are_there_in_the_end(done, kind, tmp_path):
    done.pack(kind)
    whole, kills = done.files(), 0
    place = LocalStorage(tmp_path / "again")
    for step in range(100):
        left = [step]
        try:
            done.pack(kind, MortalStorage(place.root, left))
        except KilledError:
            kills += 1
            continue
        break
    assert kills >= 3, "before a shard, between two of them, before the manifest"
    assert {entry.key: place.read(entry.key) for entry in place.list()} == whole


def test_what_a_later_try_mended_is_in_shards_of_their_own(done):
    first = done.pack("webdataset")
    [item] = done.snapshot.items(0).to_pylist()[3:4]
    data = jpeg(99, 16, 24)
    done.dest.write(item["output"], data)
    done.snapshot.append(0, [row(item, output_size=len(data), sha256=sha256_hex(data), second=9)], "later")
    done.snapshot.finish()
    second = done.pack("webdataset")
    assert (second.rows, second.reused) == (first.rows + 1, False)
    assert second.place != first.place


@pytest.mark.parametrize("what", ["is gone", "is not what this job wrote there"])
def test_a_result_that_is_not_the_jobs_is_named_and_no_shard_claims_to_be_finished(done, what):
    output = done.snapshot.items(1).to_pylist()[1]["output"]
    done.dest.delete(output) if what == "is gone" else done.dest.write(output, b"somebody else's")
    with pytest.raises(UsageError, match=rf"{output}: {what}, so it cannot go into a shard; --overwrite replace"):
        done.pack("webdataset")
    assert not [key for key in done.files() if key.endswith("manifest.json")]


@pytest.mark.slow
@pytest.mark.parametrize("server", ["s3_server", "ceph"])
def test_shards_go_to_s3_too(done, server, request, monkeypatch):
    found = request.getfixturevalue(server)
    for name, value in found.environment().items():
        monkeypatch.setenv(name, value)
    done.place = open_storage(f"s3://{found.new_bucket()}/train")
    packed = done.pack("parquet", shard_bytes=1 << 20)
    rows = read_parquet(open_storage(packed.place), "shard-000000.parquet").to_pylist()
    assert {(one["key"], one["style"]): one["image"] for one in rows} == done.results
