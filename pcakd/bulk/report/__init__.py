"""What a bulk job leaves for people: a page, its numbers, and tables of what failed and what was slow.

    info = RunInfo.of(resolved, snapshot=snapshot.number, run=run, started=..., seconds=..., processed=...)
    snapshot.finish(lambda totals: write_report(snapshot, totals, source=source, dest=dest, info=info))

Also for a run that ended badly (`info.stopped`, `snapshot.totals()`): from the rows that there are, with the
rest as "pending".
"""

from pcakd.bulk.report.info import RunInfo
from pcakd.bulk.report.page import headline
from pcakd.bulk.report.write import FAILED, NUMBERS, PAGE, SLOWEST, Report, write_report

__all__ = ["FAILED", "NUMBERS", "PAGE", "SLOWEST", "Report", "RunInfo", "headline", "write_report"]
