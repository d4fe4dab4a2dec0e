"""Flow `prune-workspace`: outputs of the workspace that nobody needs → none."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from tasks.stages.artifacts import publish_text
from tasks.stages.session import open_session
from tasks.workspace.prune import KEEP_DAYS, remove, take_stock
from tasks.workspace.show import line


@flow(name="prune-workspace", retries=6, retry_delay_seconds=600)
def prune_workspace(
    keep_days: Annotated[float, Field(ge=0)] = KEEP_DAYS,
    delete: bool = False,
    unregistered: bool = False,
    workspace: str | None = None,
) -> int:
    """Remove the outputs that no registered version, newest photos or running flow needs; the bytes of them.

    Args:
        keep_days: What was written in the last so many days stays.
        delete: Remove them; else they are only listed.
        unregistered: Believe a registry that has no model at all, though there are students.
        workspace: Folder or s3:// prefix of the stage outputs; empty: PCAKD_WORKSPACE.
    """
    with open_session("prune-workspace", workspace=workspace) as session:
        stock = take_stock(session.settings, keep_days=keep_days, unregistered=unregistered)
        unneeded = stock.unneeded
        if delete:
            remove(
                stock, unneeded, holder=session.holder, removed=lambda one: session.log.info("removed %s", line(one))
            )
        title = f"{'Removed' if delete else 'Nobody needs'} {len(unneeded)} of {len(stock.outputs)} outputs."
        publish_text("workspace", title, "\n".join(f"- {line(one)}" for one in unneeded), description="Workspace")
        return sum(one.bytes for one in unneeded)
