"""The processes that train one student together, as each of them sees the others."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Workers:
    """This process among those that train together."""

    rank: int = 0
    """Number of this process, from 0."""
    size: int = 1
    """Number of processes; the rows of a batch are dealt out to them in turn."""
    wrap: Callable[[nn.Module], nn.Module] = field(default=lambda module: module)
    """Makes gradients the mean over processes: DistributedDataParallel."""
    mean: Callable[[Tensor], Tensor] = field(default=lambda tensor: tensor)
    """Mean of a tensor over processes."""
