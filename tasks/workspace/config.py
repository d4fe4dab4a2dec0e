"""What stays in a workspace and what goes, as a user decides it."""

from dataclasses import dataclass
from typing import Annotated

from pcakd.fields import Bounds, check_fields


@dataclass(frozen=True, kw_only=True)
class PruneOptions:
    """Of `pcakd workspace` and of the flow."""

    keep_days: Annotated[float, Bounds(0)] = 30.0
    """What was written in the last so many days stays."""
    unregistered: bool = False
    """Believe a registry that has no model at all, though there are students."""
    delete: bool = False
    """Remove what nobody needs; without it, it is only listed."""

    def __post_init__(self) -> None:
        check_fields(self)
