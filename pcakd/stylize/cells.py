"""A photo cut into cells, described so that another photo's cells can be matched to them (see `matched_grade`)."""

from typing import NamedTuple

import torch
from torch import Tensor


class Cells(NamedTuple):
    """What matching needs of one photo: K cells of equal size, row by row. float32, on the CPU."""

    features: Tensor  # (K, D): mean features of the matched levels
    mean: Tensor  # (K, 3): mean RGB in [0, 1]
    second: Tensor  # (K, 3, 3): mean of RGB·RGBᵀ, not centred


def pool_cells(cells: list[Cells]) -> Cells:
    """Cells of several photos as those of one."""
    return Cells(*(torch.cat(parts) for parts in zip(*cells, strict=True)))
