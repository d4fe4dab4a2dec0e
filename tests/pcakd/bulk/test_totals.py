from pcakd.bulk.totals import Totals


def test_what_was_left_out_is_counted_and_is_no_failure():
    totals = Totals(items=10, objects=10, status={"ok": 4, "left-out": 3, "truncated": 1, "archived": 1, "pending": 1})
    assert (totals.ok, totals.failed, totals.pending) == (4, 2, 1)
    assert totals.status["left-out"] == 3
