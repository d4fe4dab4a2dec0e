"""Flow `prune-workspace`: outputs of the workspace that nobody needs → none."""

from prefect import flow

from flows.parameters import Pruning
from flows.reports import publish_stock
from tasks.stages.session import open_session
from tasks.workspace.stage import prune_stage


@flow(name="prune-workspace")
def prune_workspace(parameters: Pruning | None = None, workspace: str | None = None) -> int:
    """Remove the outputs that no registered version, newest photos or running flow needs; the bytes of them.

    Args:
        parameters: What stays, and whether the rest is removed.
        workspace: Folder or s3:// prefix of the stage outputs; empty: PCAKD_WORKSPACE.
    """
    parameters = parameters or Pruning()
    with open_session("prune-workspace", workspace=workspace) as session:
        stock = prune_stage(session, **parameters.model_dump())
        publish_stock(stock, removed=parameters.delete)
        return sum(one.bytes for one in stock.unneeded)
