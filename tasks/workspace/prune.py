"""Removing outputs that nobody needs, while no run is at work: what it reads is not known before it ends."""

from collections.abc import Callable
from dataclasses import dataclass

from pcakd.errors import TransientError
from pcakd.storage import Storage, open_storage
from pcakd.storage.stage import MANIFEST
from tasks.lease import lease
from tasks.settings import Settings
from tasks.workspace.config import PruneOptions
from tasks.workspace.contents import Output, read_workspace
from tasks.workspace.needs import at_work, needs_of, registered_digests


@dataclass(frozen=True, kw_only=True)
class Stock:
    """A workspace's outputs and why they stay."""

    workspace: Storage
    outputs: list[Output]
    """All of them, by stage and key."""
    needs: dict[str, list[str]]
    """Output's name → why it stays."""

    @property
    def unneeded(self) -> list[Output]:
        """Those that may go, the largest first."""
        return sorted((one for one in self.outputs if not self.needs[one.name]), key=lambda one: -one.bytes)


def take_stock(settings: Settings, options: PruneOptions) -> Stock:
    """Read workspace and registry.

    Raises UsageError for a registry that seems to be another one, TransientError where one of both does not answer.
    """
    workspace = open_storage(settings.workspace)
    outputs = read_workspace(workspace)
    registered = registered_digests(settings, () if options.unregistered else outputs)
    needs = needs_of(outputs, registered, at_work(workspace), keep_days=options.keep_days)
    return Stock(workspace=workspace, outputs=outputs, needs=needs)


def remove(stock: Stock, *, holder: str, removed: Callable[[Output], None] = lambda one: None) -> None:
    """Remove what is not needed. removed: told of each output.

    Raises TransientError once a run is at work in the workspace, for it may read any of them.
    """
    for one in stock.unneeded:
        for name, who in at_work(stock.workspace).items():
            raise TransientError(f"{who} is working on {name} and may read what would go; prune when it has ended")
        place = stock.workspace.sub(one.name)
        with lease(stock.workspace, one.name, holder=holder):
            # Without its manifest it is not finished: whoever comes now makes it anew.
            place.delete(MANIFEST)
            place.clear()
        removed(one)
