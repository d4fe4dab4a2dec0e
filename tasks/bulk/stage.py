"""A folder or bucket of photos → the same, stylized."""

from contextlib import suppress
from typing import Any

from pcakd.bulk import BucketJob, RunOptions
from pcakd.bulk.job import read_place
from pcakd.bulk.report import FAILED, NUMBERS, PAGE, Report, headline
from pcakd.errors import FatalError, PcakdError
from pcakd.fields import chosen
from tasks.bulk import BucketReport, BulkProgress, stylize_bucket
from tasks.bulk.driver import EndedEarlyError
from tasks.lease import waiting_for
from tasks.stages.artifacts import links, publish_text
from tasks.stages.progress import StageProgress
from tasks.stages.run import stage_task
from tasks.stages.session import Session
from tasks.tracking import Tracker

ABOUT = "Report: totals, before and after, failures"
EXAMPLES = 3
"""Photos that Prefect's page shows, before and after."""
LOGGED_BYTES = 16 << 20
"""A table of failures that is larger stays where it is."""


@stage_task("stylize-bucket")
def stylize_stage(session: Session, **options: Any) -> BucketReport:
    """Run a bulk job; its report goes to MLflow and is linked in Prefect, however the job ends.

    options: the fields of `BucketJob` and `RunOptions`.
    """
    job, how = chosen(BucketJob, options), chosen(RunOptions, options)

    def moved(words: str) -> None:
        session.log.warning("%s", words)
        run.tags({"pcakd.alias_moved": words})

    with (
        session.tracker.child("stylize-bucket") as run,
        StageProgress("stylize-bucket", "Stylizing") as tell,
        BulkProgress(tracker=run, tell=tell) as progress,
    ):
        run.params(
            {name: value for name, value in options.items() if value not in (None, (), [], "") and name != "notify"}
        )
        try:
            report = stylize_bucket(
                job,
                how,
                progress=progress,
                holder=session.holder,
                waiting=lambda who: session.log.info("%s", waiting_for(who, job.dest)),
                reported=lambda report: _log_report(report, run),
                moved=moved,
                untold=lambda words: session.log.warning("%s", words),
            )
        except EndedEarlyError as error:
            raise FatalError(str(error)) from None  # trying again at once would come to the same limit
        if report.reused:
            _log_page(report.page, run)
        run.params({"resolved_model": report.model, "job_id": report.job_id})
        run.tags({"pcakd.outcome": "reused" if report.reused else "made"})
    return report


def _log_report(report: Report, run: Tracker) -> None:
    """The report that this run wrote."""
    run.file(PAGE, report.html)
    with suppress(PcakdError):  # perhaps the job ended because the storage is away
        run.file(NUMBERS, report.folder.read(NUMBERS))
        info = report.folder.head(FAILED)
        if info is not None and info.size <= LOGGED_BYTES:
            run.file(FAILED, report.folder.read(FAILED))
    totals, times = report.numbers["totals"], report.numbers["seconds_per_photo"]
    run.metrics({f"status.{name}": count for name, count in totals["status"].items()})
    run.metrics({"seconds_per_photo.median": times["median"], "seconds_per_photo.p95": times["p95"]})
    publish_text(
        "bulk-report",
        f"**{headline(report.numbers)}**" + (f": stopped, {stopped}" if (stopped := report.numbers["stopped"]) else ""),
        _examples(report),
        links(run.page(), report.page, **{"the whole report": PAGE}),
        description=ABOUT,
    )


def _examples(report: Report) -> str:
    """A few photos before and after, within the text."""
    pictures = []
    for example in report.examples[:EXAMPLES]:
        for one in (example.before, *example.after[:1]):
            if one.data:
                pictures.append(f"![{one.title}]({one.data})")
    return " ".join(pictures)


def _log_page(page: str, run: Tracker) -> None:
    """The report that an earlier run wrote."""
    with suppress(PcakdError):
        run.file(PAGE, read_place(page))
    publish_text("bulk-report", links(run.page(), page, **{"the whole report": PAGE}), description=ABOUT)
