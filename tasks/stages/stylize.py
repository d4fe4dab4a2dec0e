"""A folder or bucket of photos → the same, stylized."""

import json
from dataclasses import asdict
from typing import Any

from pcakd.bulk import BucketJob, RunOptions
from tasks.stages.progress import StageProgress
from tasks.stages.run import stage_task
from tasks.stages.session import Session
from tasks.stylize_bucket import BucketReport, BulkProgress, stylize_bucket


@stage_task("stylize-bucket")
def stylize_stage(session: Session, **options: Any) -> BucketReport:
    """Run a bulk job. options: the fields of `BucketJob` and `RunOptions`."""
    run_names = RunOptions.__dataclass_fields__
    job = BucketJob(**{name: value for name, value in options.items() if name not in run_names})
    how = RunOptions(**{name: value for name, value in options.items() if name in run_names})
    waiting = f"{job.dest}: %s is at this job; waiting for it to finish or to die"
    with (
        session.tracker.child("stylize-bucket") as run,
        StageProgress("stylize-bucket", "Stylizing") as tell,
        BulkProgress(tracker=run, tell=tell) as progress,
    ):
        run.params({name: value for name, value in options.items() if value not in (None, (), [], "")})
        report = stylize_bucket(
            job,
            how,
            progress=progress,
            holder=session.holder,
            waiting=lambda who: session.log.info(waiting, who),
        )
        run.params({"resolved_model": report.model, "job_id": report.job_id})
        run.metrics({f"status.{name}": count for name, count in report.status.items()})
        run.tags({"pcakd.outcome": "reused" if report.reused else "made"})
        run.file("report.json", json.dumps(asdict(report), indent=1).encode())
    return report
