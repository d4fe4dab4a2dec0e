"""Removing outputs that nobody needs, while no run is at work: what it reads is not known before it ends."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pcakd.errors import TransientError
from pcakd.storage import Storage, open_storage
from pcakd.storage.stage import MANIFEST
from tasks.lease import lease
from tasks.settings import Settings
from tasks.workspace.contents import Output, read_workspace
from tasks.workspace.needs import at_work, needs_of, registered_digests

KEEP_DAYS = 30.0


@dataclass(frozen=True, kw_only=True)
class Stock:
    """A workspace's outputs and why they stay."""

    workspace: Storage
    outputs: list[Output]
    """All of them, by stage and key."""
    needs: dict[str, list[str]]
    """Output's name → why it stays."""
    makers: dict[str, str]
    """Name of an output that is being made → by whom."""

    @property
    def unneeded(self) -> list[Output]:
        """Those that may go, the largest first."""
        return sorted((one for one in self.outputs if not self.needs[one.name]), key=lambda one: -one.bytes)


def take_stock(settings: Settings, *, keep_days: float = KEEP_DAYS, unregistered: bool = False) -> Stock:
    """Read workspace and registry. unregistered: a registry without any model is believed.

    Raises UsageError for a registry that seems to be another one, TransientError where one of both does not answer.
    """
    workspace = open_storage(settings.workspace)
    outputs = read_workspace(workspace)
    registered = registered_digests(settings, () if unregistered else outputs)
    makers = at_work(workspace)
    needs = needs_of(outputs, registered, makers, keep_days=keep_days)
    return Stock(workspace=workspace, outputs=outputs, needs=needs, makers=makers)


def remove(
    stock: Stock, outputs: Iterable[Output], *, holder: str, removed: Callable[[Output], None] = lambda one: None
) -> int:
    """Remove outputs that are not needed; the bytes that were freed. removed: told of each.

    Raises TransientError while a run is at work in the workspace: it may read any of them.
    """
    if stock.makers:
        name, who = next(iter(stock.makers.items()))
        raise TransientError(f"{who} is working on {name} and may read what would go; prune when it has ended")
    freed = 0
    for one in outputs:
        if stock.needs[one.name]:
            raise ValueError(f"{one.name} is needed")
        place = stock.workspace.sub(one.name)
        with lease(stock.workspace, one.name, holder=holder):
            # Without its manifest it is not finished: whoever comes now makes it anew.
            place.delete(MANIFEST)
            place.clear()
        freed += one.bytes
        removed(one)
    return freed
