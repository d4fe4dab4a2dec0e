"""The workspace's outputs that nobody needs, found and, if asked for, removed."""

from typing import Any

from pcakd.fields import chosen
from tasks.stages.run import stage_task
from tasks.stages.session import Session
from tasks.workspace.config import PruneOptions
from tasks.workspace.prune import Stock, remove, take_stock
from tasks.workspace.show import line


@stage_task("prune-workspace")
def prune_stage(session: Session, **options: Any) -> Stock:
    """The stock as it was before anything was removed. options: the fields of `PruneOptions`.

    Raises as `take_stock` and `remove`.
    """
    chosen_options = chosen(PruneOptions, options)
    stock = take_stock(session.settings, chosen_options)
    if chosen_options.delete:
        remove(stock, holder=session.holder, removed=lambda one: session.log.info("removed %s", line(one)))
    return stock
