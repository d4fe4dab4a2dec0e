"""Flow `stylize-bucket`: a folder or bucket of photos → the same, stylized."""

from prefect import flow

from flows.parameters import BulkStylization
from flows.reports import publish_bulk
from tasks.bulk.stage import stylize_stage
from tasks.stages.session import open_session


@flow(name="stylize-bucket")
def stylize_bucket(parameters: BulkStylization, workspace: str | None = None) -> dict[str, int]:
    """Stylize every photo of a folder or bucket; the counts by status.

    Args:
        parameters: What to stylize, and how.
        workspace: Folder or s3:// prefix whose registry is asked for models:/ names; empty: PCAKD_WORKSPACE.
    """
    with open_session("stylize-bucket", workspace=workspace) as session:
        report = stylize_stage(session, **parameters.model_dump())
        publish_bulk(report, parameters.dest)
        return report.status
