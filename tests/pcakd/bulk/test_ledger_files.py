"""Where a ledger lies, what it removes, and what its destination takes for one name."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from pcakd.bulk import Ledger
from pcakd.bulk.ledger import Snapshot
from pcakd.errors import UsageError
from pcakd.storage import LocalStorage, open_storage
from tests.pcakd.bulk.made import KilledError, MortalStorage, fill, ledger, resolved, work
from tests.pcakd.bulk.test_ledger import PART, run_whole


def finished(folder: Path, count: int) -> tuple[Path, Ledger, Snapshot]:
    """(so many objects, a ledger of them, its first snapshot, which is finished)."""
    source = fill(folder / "in", count)
    book = ledger(source, folder / "out")
    snapshot = book.begin(open_storage(source), part_items=PART)
    work(snapshot)
    snapshot.finish()
    return source, book, snapshot


def test_a_ledger_lies_where_other_versions_look_for_it(tmp_path):
    _, book, snapshot = finished(tmp_path, 3)
    parts = [f"{part:05d}" for part in range(2)]
    kept = {f"{kind}/{part}.parquet" for kind in ("items", "final") for part in parts}
    kept |= {f"rows/00000/run-{number:06d}.parquet" for number in (1, 2)} | {"rows/00001/run-000003.parquet"}
    kept |= {"claim.json", "snapshot.json", "done.json"}
    assert book.root.uri() == f"{tmp_path}/out/_pcakd/{book.resolved.job_id}"
    assert {entry.key for entry in book.root.list()} == {"spec.json", "newest.json", "render.json", "names.json"} | {
        f"snapshots/000001/{name}" for name in kept
    }
    assert snapshot.report.uri() == snapshot.storage.uri("report")


def test_a_snapshot_says_what_it_is_a_listing_of(tmp_path):
    source, book, first = finished(tmp_path, 5)
    (source / "0000.jpg").unlink()
    second = book.begin(open_storage(source), part_items=PART)
    parts = [(4, 2), (4, 2), (2, 1)], [(4, 2), (4, 2)]  # items and objects
    for snapshot, (number, objects, size, carried, before), counts in zip(
        (first, second), ((1, 5, 15, 0, None), (2, 4, 14, 8, 1)), parts, strict=True
    ):
        found = dict(snapshot.record)
        assert [(part["items"], part["objects"]) for part in found.pop("parts")] == counts
        assert (len(found.pop("digest")), found.pop("format_version")) == (64, 1)
        assert found.pop("selection")["overwrite"] == "skip"
        assert found == {
            "number": number,
            "items": 2 * objects,
            "objects": objects,
            "bytes": 2 * size,
            "carried": carried,
            "carried_from": before,
            "styles": {"a": ["x.jpg"], "b": ["y.jpg"]},
            "manifest": None,
            "model": "vgg",
        }


def test_the_items_of_listings_that_were_broken_off_are_removed_in_the_end(tmp_path):
    source = fill(tmp_path / "in", 6)
    for steps in (5, 3):  # after the first items, each time
        with pytest.raises(KilledError):
            run_whole(MortalStorage(tmp_path / "out", [steps]), source)

    def names() -> set[str]:
        return {entry.key for entry in ledger(source, tmp_path / "out").root.list("snapshots/")}

    broken = {f"snapshots/00000{number}/{name}" for number in (1, 2) for name in ("claim.json", "items/00000.parquet")}
    assert names() == broken
    run_whole(LocalStorage(tmp_path / "out"), source)
    assert "snapshots/000003/done.json" in names()
    assert names() & broken == {"snapshots/000001/claim.json", "snapshots/000002/claim.json"}
    (source / "more.jpg").write_bytes(b"more")
    run_whole(LocalStorage(tmp_path / "out"), source)
    assert "snapshots/000003/items/00000.parquet" in names(), "a whole one stays"


class Folding(LocalStorage):
    """Takes names that differ in case for the same."""

    def head(self, key):
        found = next((entry.key for entry in self.list() if entry.key.casefold() == key.casefold()), None)
        return None if found is None else super().head(found)

    def sub(self, prefix):
        return Folding(super().sub(prefix).root)


@pytest.mark.parametrize(("kind", "fits"), [(LocalStorage, True), (Folding, False)])
def test_names_that_differ_in_case_collide_where_the_destination_takes_them_for_the_same(tmp_path, kind, fits):
    source = fill(tmp_path / "in", 1)
    (source / "0000.JPG").write_bytes(b"another photo")
    book = Ledger.open(kind(tmp_path / "out"), resolved(source, tmp_path / "out"))
    with nullcontext() if fits else pytest.raises(UsageError, match="0000"):
        assert book.begin(open_storage(source)).item_count == 4
