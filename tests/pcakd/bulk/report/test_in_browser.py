"""The report as people see it: opened in Chromium over loopback HTTP."""

from collections.abc import Iterator

import pyarrow as pa
import pytest

from pcakd.bulk.schema import ROW_SCHEMA
from pcakd.storage.base import shown
from tests.assets.places import missing
from tests.pcakd.bulk.report.ledgers import HOSTILE, Place, many_rows, row
from tests.pcakd.bulk.report.looked_at import check_in_browser
from tests.servers.browser import Browser, browser, served, why_not

pytestmark = pytest.mark.slow
REPORT = "_pcakd/0123456789abcdef/snapshots/000001/report/report.html"


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    if reason := why_not():
        missing(reason)
    with browser() as started:
        yield started


@pytest.mark.parametrize("items", [280, 300])
def test_a_report_is_quiet_whole_legible_and_says_what_the_rows_say(page, tmp_path, items):
    place, table = Place(tmp_path), many_rows()
    place.write(place.snapshot(table, items), stopped="the credentials were refused" if items > len(table) else "")
    with served(place.folder / "out") as address:
        check_in_browser(page, f"{address}/{REPORT}", pa.Table.from_pylist(table, ROW_SCHEMA), items)
        assert page.evaluate("document.images.length") == 1 + 6 * 2
        stopped = page.evaluate("document.querySelector('[role=alert]')?.textContent ?? ''")
        assert ("the credentials were refused" in stopped) == (items > len(table))


def test_hostile_keys_and_messages_are_words_on_the_page_and_nothing_else(page, tmp_path):
    place = Place(tmp_path)
    good = [row(key, number, output=f"dir/{key}") for number, key in enumerate(HOSTILE)]
    bad = [row(f"{key}x", 7, status="truncated", message=key) for key in HOSTILE]
    place.write(place.snapshot(good + bad))
    with served(place.folder / "out") as address:
        table = pa.Table.from_pylist(good + bad, ROW_SCHEMA)
        check_in_browser(page, f"{address}/{REPORT}", table, len(table))
    told = page.evaluate(
        "[...document.querySelectorAll('.failed tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    )
    assert told == [[shown(f"{key}x"), shown(key)] for key in HOSTILE]
    assert "\u202e" not in page.evaluate("document.documentElement.outerHTML")


@pytest.mark.parametrize("rows", [[], [row("a.jpg", 1, status="truncated", message="a.jpg: is empty")]])
def test_a_job_without_a_single_result_has_a_report_too(page, tmp_path, rows):
    place = Place(tmp_path)
    place.write(place.snapshot(rows, 3), stopped="no photo could be read")
    with served(place.folder / "out") as address:
        check_in_browser(page, f"{address}/{REPORT}", pa.Table.from_pylist(rows, ROW_SCHEMA), 3)
