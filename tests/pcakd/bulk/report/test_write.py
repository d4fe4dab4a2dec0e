"""What is written, and what it costs."""

import csv
import io
import json
import tracemalloc

import pytest

from pcakd.bulk.schema import ROW_SCHEMA
from pcakd.errors import FatalError, TransientError
from tests.pcakd.bulk.report.ledgers import HOSTILE, Place, info, many_rows, photo, row


def table_of(place: Place, name: str) -> list[dict[str, str]]:
    data = place.dest.read(f"_pcakd/0123456789abcdef/snapshots/000001/report/{name}")
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


class Counting:
    """A storage that counts its reads, and may be away."""

    def __init__(self, storage, away: bool = False) -> None:
        self.storage, self.away, self.reads = storage, away, []

    def read(self, key):
        self.reads.append(key)
        if self.away:
            raise TransientError("gave up after 7 tries")
        return self.storage.read(key)

    def __getattr__(self, name):
        return getattr(self.storage, name)


def test_the_numbers_add_up_to_the_listing_and_not_reached_is_counted(tmp_path):
    place, table = Place(tmp_path), many_rows()
    report = place.write(place.snapshot(table, 300), stopped="wrong credentials")
    numbers = json.loads(place.dest.read("_pcakd/0123456789abcdef/snapshots/000001/report/report.json"))
    assert numbers == json.loads(json.dumps(report.numbers))
    assert sum(numbers["totals"]["status"].values()) == numbers["totals"]["items"] == 300
    assert numbers["totals"]["status"]["pending"] == 20
    assert numbers["failed"] == sum(one["status"] != "ok" for one in table)
    assert sum(good + bad for _, good, bad in numbers["timeline"]["buckets"]) == 280
    assert sum(numbers["seconds_per_photo"]["counts"]) == numbers["totals"]["status"]["ok"]
    assert numbers["may_pass"] == {"unreachable": 6}


def test_a_finished_job_is_told_from_its_final_rows_and_a_stopped_one_from_what_there_is(tmp_path):
    place = Place(tmp_path)
    snapshot = place.snapshot(many_rows(), part_items=100)
    place.write(snapshot)
    assert snapshot.read == ["final"] * 3
    snapshot = place.snapshot(many_rows(), part_items=100)
    place.write(snapshot, stopped="too many failures")
    assert snapshot.read == ["rows"] * 3


def test_every_failed_object_is_in_the_table_with_its_key_as_it_is(tmp_path):
    place, table = Place(tmp_path), many_rows()
    place.write(place.snapshot(table))
    failed = table_of(place, "failed.csv")
    assert [(one["key"], one["message"]) for one in failed] == [
        (one["key"], one["message"]) for one in table if one["status"] != "ok"
    ]
    assert f"{HOSTILE[3]}x" in {one["key"] for one in failed}
    assert {one["passing"] for one in failed if one["status"] == "unreachable"} == {"True"}


def test_the_slowest_come_first(tmp_path):
    place, table = Place(tmp_path), many_rows()
    table[33]["stylize_s"] = 1e3
    place.write(place.snapshot(table))
    times = [float(one["total_s"]) for one in table_of(place, "slowest.csv")]
    assert times == sorted(times, reverse=True)
    assert table_of(place, "slowest.csv")[0]["key"] == table[33]["key"]


def test_quantiles_are_right_to_a_tenth(tmp_path):
    place = Place(tmp_path)
    rest = {"fetch_s": 0.0, "decode_s": 0.0, "encode_s": 0.0, "put_s": 0.0}
    table = [row(f"{n:04}.jpg", n, stylize_s=(n + 1) / 100, **rest) for n in range(200)]
    times = place.write(place.snapshot(table)).numbers["seconds_per_photo"]
    assert times["median"] == pytest.approx(1.0, rel=0.1)
    assert times["p95"] == pytest.approx(1.9, rel=0.1)
    assert times["longest"] == pytest.approx(2.0)


def test_no_more_than_twelve_objects_are_fetched_whatever_the_styles(tmp_path):
    from pcakd.bulk.report import write_report

    for styles in (1, 2, 5, 30):
        place = Place(tmp_path / str(styles))
        table = [
            row(f"{n:03}.jpg", n * styles + s, style=f"style-{s}", size=500)
            for n in range(300 // styles)
            for s in range(styles)
        ]
        snapshot = place.snapshot(table)
        source, dest = Counting(place.source), Counting(place.dest)
        report = write_report(
            snapshot, snapshot.totals(), source=source, dest=dest, info=info(styles={"a": [photo(1)] * 40})
        )
        assert len(set(source.reads)) == len(source.reads) >= 1
        assert 8 <= len(source.reads) + len(dest.reads) <= 12
        assert report.html.count(b"<img") == 12 + len(source.reads) + len(dest.reads)


def test_the_same_photos_are_shown_however_the_job_is_cut_into_parts(tmp_path):
    pages = []
    for part_items in (7, 100, 500):
        place = Place(tmp_path / str(part_items))
        html = place.write(place.snapshot(many_rows(), part_items=part_items)).html
        pages.append(html.replace(str(place.folder).encode(), b""))
    assert pages[0] == pages[1] == pages[2]


def test_a_storage_that_is_away_costs_the_pictures_and_one_try(tmp_path):
    from pcakd.bulk.report import write_report

    place = Place(tmp_path)
    snapshot = place.snapshot(many_rows())
    source = Counting(place.source, away=True)
    report = write_report(snapshot, snapshot.totals(), source=source, dest=place.dest, info=info())
    assert len(source.reads) == 1
    assert b"No result could be shown" in report.html


def test_pictures_that_are_gone_damaged_or_huge_do_not_spoil_the_report(tmp_path):
    place = Place(tmp_path)
    table = [row(f"{name}.jpg", number) for number, name in enumerate("abcd")]
    table.append(row("huge.jpg", 9, size=1 << 33))
    snapshot = place.snapshot(table)
    place.source.delete("a.jpg")
    place.dest.write(table[1]["output"], b"damaged")
    html = place.write(snapshot).html.decode()
    assert html.count("no longer there") == 1
    assert html.count("cannot be shown (not-an-image)") == 1
    assert "in style" in html
    assert "huge.jpg before" not in html


def test_rows_that_are_not_what_the_totals_say_are_told(tmp_path):
    from pcakd.bulk.report import write_report

    place = Place(tmp_path)
    snapshot = place.snapshot(many_rows())
    totals = snapshot.totals()
    snapshot.table.pop()
    with pytest.raises(FatalError, match="does not add up"):
        write_report(snapshot, totals, source=place.source, dest=place.dest, info=info())


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_objects(tmp_path):
    """Python's own memory, where rows would pile up."""
    peaks = []
    for parts in (2, 8):
        place = Place(tmp_path / str(parts))
        table = [row(f"{n:06}.jpg", n, status="truncated", message="m" * 80) for n in range(1000)]
        table += [row(f"{n:06}.jpg", n, size=1 << 40) for n in range(1000, 2000)]
        snapshot = place.snapshot(table[:1000] + table[1000:], part_items=2000)
        totals = snapshot.totals()
        snapshot.items *= parts
        snapshot.table = table
        snapshot._table = lambda part, kind, made=snapshot._table: made(0, kind)  # every part the same
        from pcakd.bulk.report import write_report

        whole = sum([totals] * (parts - 1), totals)
        tracemalloc.start()
        write_report(snapshot, whole, source=place.source, dest=place.dest, info=info())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
    assert len(ROW_SCHEMA) > 0
