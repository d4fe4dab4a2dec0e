"""PCA targets as Parquet: for each photo its crop and V_lᵀ F̄ of every level, in half precision.

They are all that the distill loss needs of the teacher, in k channels instead of C.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from pcakd.eigenbases.extraction import Cut
from pcakd.student.network import LEVELS

TARGETS_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        *(pa.field(name, pa.int32(), nullable=False) for name in ("top", "left", "height", "width")),
        *(pa.field(f"shape{level}", pa.list_(pa.int32(), 3), nullable=False) for level in range(LEVELS)),
        *(pa.field(f"level{level}", pa.binary(), nullable=False) for level in range(LEVELS)),
    ]
)
"""One row a photo. key: as in the shard; top ... width: the crop, pixels of the shard's photo; level0 ...: float16,
little-endian, C order, of shape0 ... = (k, h, w)."""


def target_row(cut: Cut, levels: list[np.ndarray]) -> dict[str, Any]:
    """A row of TARGETS_SCHEMA."""
    crop = cut.crop
    row: dict[str, Any] = {"key": cut.key, "top": crop.top, "left": crop.left}
    row |= {"height": crop.height, "width": crop.width}
    for level, values in enumerate(levels):
        row[f"shape{level}"] = list(values.shape)
        row[f"level{level}"] = values.astype("<f2").tobytes()
    return row
