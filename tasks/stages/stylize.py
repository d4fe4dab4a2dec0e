"""A folder or bucket of photos → the same, stylized."""

import json
from typing import Any

from tasks.stages.progress import StageProgress
from tasks.stages.run import stage_task
from tasks.stages.session import Session
from tasks.stylize_bucket import BucketJob, BucketReport, stylize_bucket


@stage_task("stylize-bucket")
def stylize_stage(session: Session, **options: Any) -> BucketReport:
    """Run a bulk job. options: the fields of `BucketJob` and of `RunOptions`."""
    job = BucketJob(**{name: value for name, value in options.items() if name in BucketJob.__dataclass_fields__})
    with session.tracker.child("stylize-bucket") as run, StageProgress("stylize-bucket", "Stylizing") as progress:
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            progress(0.0 if not job.limit else min(1.0, done / job.limit), f"{done:,} objects")

        report = stylize_bucket(job, advance=advance)
        run.params(
            {key: value for key, value in options.items() if value is not None} | {"resolved_model": report.model}
        )
        run.metrics({f"status.{name}": count for name, count in report.status.items()})
        run.tags({"pcakd.outcome": "reused" if report.reused else "made"})
        run.file("report.json", json.dumps(report.__dict__, indent=1).encode())
    return report
