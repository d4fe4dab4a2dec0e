"""What is told, in a message for programs, of how a run ended."""

import secrets
from typing import TYPE_CHECKING, Any

from pcakd.bulk.job import BucketJob
from pcakd.bulk.report import Report
from pcakd.cli.main import told
from pcakd.errors import EXIT_OK, EXIT_PARTIAL

if TYPE_CHECKING:
    from tasks.bulk.job import BucketReport

FORMAT = 1
INTERRUPTED_S = 5.0
"""For sending it where somebody waits who has interrupted the run."""


def word_of_end(
    job: BucketJob,
    *,
    seconds: float,
    done: "BucketReport | None" = None,
    error: BaseException | None = None,
    report: Report | None = None,
) -> dict[str, Any]:
    """The message. done: of a job that is finished; else error: what ended the run, and the report that it left."""
    code, line = (EXIT_PARTIAL if done is not None and done.failed else EXIT_OK), ""
    if error is not None:
        code, line = told(error)
    message: dict[str, Any] = {
        "format": FORMAT,
        "id": secrets.token_hex(8),
        "event": "finished" if done is not None else "stopped",
        "exit_code": code,
        "error": line,
        "source": job.source,
        "dest": job.dest,
        "seconds": round(seconds, 3),
    }
    if done is not None:
        message |= {"job": done.job_id, "report": done.page, "totals": done.totals.to_dict(), "reused": done.reused}
    elif report is not None:
        message |= {"job": report.numbers["job"], "report": report.page, "totals": report.numbers["totals"]}
    return message
