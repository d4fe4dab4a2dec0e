import threading

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pcakd.bulk import ROW_SCHEMA, Ledger
from pcakd.bulk.rows import merge_rows, pending_items, rows_table
from pcakd.bulk.snapshot import Item, items_table
from pcakd.errors import FatalError
from pcakd.storage import LocalStorage, open_storage
from pcakd.storage.etags import former_etag, is_former
from pcakd.storage.parquet import read_parquet
from pcakd.storage.stage import canonical_json
from tests.pcakd.bulk.made import KilledError, MortalStorage, fill, ledger, resolved, row, work

PART = 4
ITEMS = [Item(f"{n}.jpg", n, f"e{n}", style, f"{n}.{style}.jpg") for n in range(4) for style in "ab"]
TABLE = items_table(ITEMS)
OUTCOMES = st.tuples(
    st.integers(0, len(ITEMS) - 1),
    st.sampled_from([("ok", False), ("truncated", False), ("unreachable", True)]),
    st.integers(0, 3),
)


def final_rows(snapshot) -> list[dict]:
    return [found for part in range(snapshot.parts) for found in snapshot.final(part).to_pylist()]


def assert_adds_up(snapshot, totals) -> None:
    """One final row an item, in the items' order, and totals that are theirs."""
    items = [item for part in range(snapshot.parts) for item in snapshot.items(part).to_pylist()]
    rows = final_rows(snapshot)
    assert [(r["key"], r["style"]) for r in rows] == [(i["key"], i["style"]) for i in items]
    assert totals.items == len(items) == sum(totals.status.values())
    for status in totals.status:
        assert totals.status[status] == sum(r["status"] == status for r in rows)
    assert totals == snapshot.done()


@given(st.lists(OUTCOMES, max_size=40), st.randoms(use_true_random=False))
def test_the_order_and_repetition_of_rows_do_not_matter(outcomes, random):
    rows = [row(ITEMS[i]._asdict(), *status[:1], passing=status[1], second=s) for i, status, s in outcomes]
    merged = merge_rows(TABLE, [rows_table(rows)] if rows else [])
    shuffled = rows + random.sample(rows, len(rows) // 2)
    random.shuffle(shuffled)
    cut = random.randint(0, len(shuffled))
    again = merge_rows(TABLE, [rows_table(shuffled[:cut]), rows_table(shuffled[cut:])])
    assert merged.to_pylist() == again.to_pylist()
    by_item = {(r["key"], r["style"]): r for r in merged.to_pylist()}
    assert len(by_item) == len(merged) == len({i for i, _, _ in outcomes})
    for i, (status, _), _ in outcomes:
        found = by_item[ITEMS[i].key, ITEMS[i].style]["status"]
        rank = ["unreachable", "truncated", "ok"].index
        assert rank(found) >= rank(status)
    pending = {(i["key"], i["style"]) for i in pending_items(TABLE, merged).to_pylist()}
    assert pending == {(i.key, i.style) for i in ITEMS} - {pair for pair, r in by_item.items() if not r["passing"]}


def test_of_equal_rows_the_one_that_finished_last_counts():
    rows = [row(ITEMS[0]._asdict(), second=second, sha256=str(second)) for second in (1, 3, 2)]
    assert merge_rows(TABLE, [rows_table([r]) for r in rows]).to_pylist()[0]["sha256"] == "3"


def test_a_row_of_no_item_is_an_error():
    stranger = row(ITEMS[0]._asdict() | {"key": "other.jpg"})
    with pytest.raises(FatalError, match=r"other\.jpg"):
        merge_rows(TABLE, [rows_table([stranger])])


def test_a_job_is_worked_through_once(tmp_path):
    source = fill(tmp_path / "in", 11)
    book = ledger(source, tmp_path / "out")
    assert book.newest() is None
    snapshot = book.begin(open_storage(source), part_items=PART)
    assert (snapshot.number, snapshot.item_count, snapshot.parts, snapshot.done()) == (1, 22, 6, None)
    assert snapshot.totals().pending == 22
    assert work(snapshot) == 22
    totals = snapshot.finish()
    assert_adds_up(snapshot, totals)
    assert (totals.objects, totals.ok, totals.bytes_in) == (11, 22, 2 * sum(range(1, 12)))
    assert (totals.bytes_out, totals.pixels, totals.seconds["stylize"]) == (22 * 7, 22 * 8, 11.0)
    before = {entry.key: entry.etag for entry in book.root.list()}
    again = ledger(source, tmp_path / "out").begin(open_storage(source), part_items=PART)
    assert again.number == 1
    assert again.done() == totals
    assert {entry.key: entry.etag for entry in book.root.list()} == before, "a finished job run again writes nothing"


def test_an_interrupted_snapshot_goes_on_without_a_new_listing(tmp_path):
    source = fill(tmp_path / "in", 6)
    snapshot = ledger(source, tmp_path / "out").begin(open_storage(source), part_items=PART)
    snapshot.append(1, [row(snapshot.items(1).to_pylist()[2])], "one")
    fill(source, 7)
    again = ledger(source, tmp_path / "out").begin(open_storage(source), part_items=PART)
    assert (again.number, again.item_count) == (1, 12)
    assert [len(again.pending(part)) for part in range(3)] == [4, 3, 4]


def test_what_changed_or_came_is_new_work_and_the_rest_is_carried_over(tmp_path):
    source = fill(tmp_path / "in", 10)
    first = ledger(source, tmp_path / "out").begin(open_storage(source), part_items=PART)
    work(first, status=lambda item: ("truncated", False) if item["key"] == "0003.jpg" else ("ok", False))
    first.finish()
    (source / "0001.jpg").write_bytes(b"another photo")
    (source / "0005.jpg").unlink()
    (source / "0000-new.jpg").write_bytes(b"new")
    second = ledger(source, tmp_path / "out").begin(open_storage(source), part_items=PART)
    assert (second.number, second.item_count, second.record["carried"]) == (2, 20, 16)
    todo = [item["key"] for part in range(second.parts) for item in second.pending(part).to_pylist()]
    assert todo == ["0000-new.jpg"] * 2 + ["0001.jpg"] * 2
    work(second)
    totals = second.finish()
    assert_adds_up(second, totals)
    assert totals.status == {"ok": 18, "truncated": 2}
    assert "0005.jpg" not in {r["key"] for r in final_rows(second)}


def test_an_object_that_changed_between_listing_and_reading_is_not_done_again(tmp_path):
    source = fill(tmp_path / "in", 3)
    first = ledger(source, tmp_path / "out", styles=("x.jpg",)).begin(open_storage(source))
    (source / "0001.jpg").write_bytes(b"another photo")
    now = open_storage(source).head("0001.jpg")
    rows = [row(item) for item in first.items(0).to_pylist()]
    rows[1] |= {"etag": now.etag, "size": now.size}
    first.append(0, rows, "run")
    first.finish()
    second = ledger(source, tmp_path / "out", styles=("x.jpg",)).begin(open_storage(source))
    assert (second.number, second.record["carried"]) == (2, 3)
    assert work(second) == 0


def test_rows_with_etags_of_size_and_time_are_carried_over_until_the_file_is_touched(tmp_path):
    source = fill(tmp_path / "in", 4)
    first = ledger(source, tmp_path / "out", styles=("x.jpg",)).begin(open_storage(source))
    former = [former_etag((source / item["key"]).stat()) for item in first.items(0).to_pylist()]
    rows = [row(item) | {"etag": etag} for item, etag in zip(first.items(0).to_pylist(), former, strict=True)]
    first.append(0, rows, "run")
    first.finish()
    (source / "0001.jpg").write_bytes(b"another photo")
    second = ledger(source, tmp_path / "out", styles=("x.jpg",)).begin(open_storage(source))
    assert second.record["carried"] == 3
    assert work(second) == 1
    second.finish()
    assert not any(is_former(found["etag"]) for found in final_rows(second)), "what is carried over is renewed"
    for path in source.iterdir():
        path.touch()
    third = ledger(source, tmp_path / "out", styles=("x.jpg",)).begin(open_storage(source))
    assert (third.number, work(third)) == (2, 0)


def test_a_finished_job_takes_passing_failures_again_and_keeps_permanent_ones(tmp_path):
    source = fill(tmp_path / "in", 8)
    outcome = {"0002.jpg": ("unreachable", True), "0004.jpg": ("truncated", False)}
    first = ledger(source, tmp_path / "out").begin(open_storage(source), part_items=PART)
    work(first, status=lambda item: outcome.get(item["key"], ("ok", False)))
    assert first.finish().passing == 2
    again = ledger(source, tmp_path / "out").begin(open_storage(source), part_items=PART)
    assert (again.number, again.done().passing) == (1, 2)
    assert work(again, "second") == 2
    totals = again.finish()
    assert totals.status == {"ok": 14, "truncated": 2}
    assert_adds_up(again, totals)


def test_replace_makes_everything_again_but_goes_on_when_interrupted(tmp_path):
    source = fill(tmp_path / "in", 5)
    first = ledger(source, tmp_path / "out").begin(open_storage(source))
    work(first)
    first.finish()
    second = ledger(source, tmp_path / "out", overwrite="replace").begin(open_storage(source))
    assert (second.number, second.record["carried"]) == (2, 0)
    second.append(0, [row(item) for item in second.items(0).to_pylist()[:3]], "run")
    third = ledger(source, tmp_path / "out", overwrite="replace").begin(open_storage(source))
    assert (third.number, work(third)) == (2, 7)
    third.finish()
    assert ledger(source, tmp_path / "out", overwrite="replace").begin(open_storage(source)).number == 3


def test_a_trial_with_a_limit_is_the_beginning_of_the_whole_job(tmp_path):
    source = fill(tmp_path / "in", 9)
    trial = ledger(source, tmp_path / "out", limit=2).begin(open_storage(source), part_items=PART)
    assert work(trial) == 4
    trial.finish()
    whole = ledger(source, tmp_path / "out").begin(open_storage(source), part_items=PART)
    assert (whole.item_count, whole.record["carried"], work(whole)) == (18, 4, 14)
    assert_adds_up(whole, whole.finish())


def test_another_selection_does_not_wait_for_an_interrupted_one(tmp_path):
    source = fill(tmp_path / "in", 9)
    trial = ledger(source, tmp_path / "out", include=["000[0-3]*"]).begin(open_storage(source), part_items=PART)
    trial.append(0, [row(item) for item in trial.items(0).to_pylist()[:3]], "run")
    whole = ledger(source, tmp_path / "out").begin(open_storage(source), part_items=PART)
    assert (whole.number, whole.item_count, whole.record["carried"], work(whole)) == (2, 18, 3, 15)


def test_a_result_in_the_way_is_tried_again_once_the_policy_is_another(tmp_path):
    source = fill(tmp_path / "in", 2)
    first = ledger(source, tmp_path / "out", overwrite="fail").begin(open_storage(source))
    outcome = {"0001.jpg": ("exists", False)}
    assert work(first, status=lambda item: outcome.get(item["key"], ("ok", False))) == 4
    first.finish()
    again = ledger(source, tmp_path / "out", overwrite="fail").begin(open_storage(source))
    assert (again.number, work(again)) == (1, 0)
    second = ledger(source, tmp_path / "out").begin(open_storage(source))
    assert (second.record["carried"], work(second)) == (2, 2)
    assert second.finish().ok == 4
    assert ledger(source, tmp_path / "out", overwrite="fail").begin(open_storage(source)).number == second.number


def test_a_message_that_is_no_text_is_kept_escaped(tmp_path):
    source = fill(tmp_path / "in", 1)
    snapshot = ledger(source, tmp_path / "out", styles=("x.jpg",)).begin(open_storage(source))
    snapshot.append(0, [row(snapshot.items(0).to_pylist()[0], "crashed", message="no such file: \udcff")], "run")
    assert snapshot.rows(0)["message"].to_pylist() == ["no such file: \\udcff"]


def test_items_without_a_row_keep_a_job_from_being_done(tmp_path):
    source = fill(tmp_path / "in", 3)
    snapshot = ledger(source, tmp_path / "out").begin(open_storage(source))
    snapshot.append(0, [row(snapshot.items(0).to_pylist()[0])], "run")
    with pytest.raises(FatalError, match="6 items listed, 1 with a result"):
        snapshot.finish()
    assert snapshot.done() is None


def run_whole(dest: LocalStorage, source, **changes) -> int:
    """One driver from start to end; items worked on."""
    job = resolved(source, dest.root, **changes)
    snapshot = Ledger.open(dest, job).begin(open_storage(source), part_items=PART)
    done = snapshot.done()
    if done is not None and not done.passing:
        return 0
    count = work(snapshot, batch=2, status=lambda item: ("empty" if item["size"] == 3 else "ok", False))
    snapshot.finish(lambda totals: snapshot.report.write("report.json", b"{}"))
    return count


@pytest.mark.parametrize("second", [False, True], ids=["first snapshot", "second snapshot"])
def test_a_kill_before_any_write_loses_and_doubles_nothing(tmp_path, second):
    for steps in range(1000):
        source = fill(tmp_path / f"in-{steps}", 4)
        dest = tmp_path / f"out-{steps}"
        if second:
            run_whole(LocalStorage(dest), source)
            (source / "0001.jpg").write_bytes(b"another photo")
            (source / "0000-new.jpg").write_bytes(b"ne")
        left = [steps]
        killed = False
        try:
            run_whole(MortalStorage(dest, left), source)
        except KilledError:
            killed = True
        run_whole(LocalStorage(dest), source)
        snapshot = ledger(source, dest).newest()
        assert_adds_up(snapshot, snapshot.done())
        assert snapshot.done().status["empty"] == 2
        assert run_whole(LocalStorage(dest), source) == 0
        if not killed:
            assert steps > 10
            return


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.integers(0, 14), max_size=5))
def test_any_number_of_kills_end_in_the_same_ledger(tmp_path_factory, kills):
    folder = tmp_path_factory.mktemp("job")
    source, worked = fill(folder / "in", 6), 0
    for steps in kills:
        try:
            run_whole(MortalStorage(folder / "out", [steps]), source)
        except KilledError:
            continue
    worked += run_whole(LocalStorage(folder / "out"), source)
    snapshot = ledger(source, folder / "out").newest()
    assert_adds_up(snapshot, snapshot.done())
    assert worked <= 12


@pytest.mark.parametrize("place", ["local", "s3"])
def test_two_drivers_at_once_lose_and_double_nothing(place, tmp_path, request):
    source = fill(tmp_path / "in", 12)
    dest = tmp_path / "out"
    if place == "s3":
        dest = f"s3://{request.getfixturevalue('s3_server').new_bucket()}/out"
    ledger(source, dest).begin(open_storage(source), part_items=PART)

    def drive() -> None:
        # The same name of a run on purpose: not even then may one write over the other's rows.
        work(ledger(source, dest).begin(open_storage(source), part_items=PART), "same", batch=1)

    threads = [threading.Thread(target=drive) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    snapshot = ledger(source, dest).newest()
    assert sum(len(read_parquet(snapshot.storage, e.key)) for e in snapshot.storage.list("rows/")) >= 24
    assert_adds_up(snapshot, snapshot.finish())


def test_two_listings_at_once_do_not_mix(tmp_path):
    """Which only happens where a run was taken for dead."""
    source = fill(tmp_path / "in", 12)
    found = []
    barrier = threading.Barrier(4)

    def begin() -> None:
        book = ledger(source, tmp_path / "out")
        barrier.wait()
        found.append(book.begin(open_storage(source), part_items=PART))

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    snapshot = ledger(source, tmp_path / "out").newest()
    assert len(found) == 4
    assert snapshot.number == max(other.number for other in found)
    for other in found:
        work(other)
        assert_adds_up(other, other.finish())


def test_a_ledger_that_somebody_damaged_is_one_line(tmp_path):
    source = fill(tmp_path / "in", 2)
    book = ledger(source, tmp_path / "out")
    snapshot = book.begin(open_storage(source))
    snapshot.storage.write("rows/00000/x.parquet", b"no table")
    with pytest.raises(FatalError, match=r"x\.parquet: is not a whole Parquet file"):
        snapshot.pending(0)
    snapshot.storage.write("snapshot.json", b"{")
    with pytest.raises(FatalError, match="is not JSON"):
        book.newest()
    book.root.write("spec.json", b"{}")
    with pytest.raises(FatalError, match="is not this job's spec"):
        ledger(source, tmp_path / "out")


def test_rows_keep_every_column(tmp_path):
    source = fill(tmp_path / "in", 1)
    snapshot = ledger(source, tmp_path / "out", styles=("x.jpg",)).begin(open_storage(source))
    item = snapshot.items(0).to_pylist()[0]
    values = row(item, worker="host:1", model="vgg", fetch_s=0.25, message="m", error="E")
    snapshot.append(0, [values], "run-1")
    kept = snapshot.rows(0)
    assert kept.schema == ROW_SCHEMA
    assert kept.to_pylist()[0] == dict.fromkeys(ROW_SCHEMA.names) | values | {"run": "run-1"}
    assert isinstance(kept, pa.Table)


def test_a_job_begun_before_there_were_looks_goes_on_without_them(tmp_path):
    job = resolved(source="in", dest="out")
    old = Ledger(LocalStorage(tmp_path / "old"), job)
    old.root.create("spec.json", canonical_json(job.spec()))
    assert Ledger.open(LocalStorage(tmp_path / "old"), job).render() == "full"
    for _ in range(2):
        assert Ledger.open(LocalStorage(tmp_path / "new"), job).render() == "auto"
    named = resolved(source="in", dest="out", render="look")
    assert named.job_id != job.job_id
    assert Ledger.open(LocalStorage(tmp_path / "old"), named).render() == "look"
