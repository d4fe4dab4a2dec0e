"""PCA targets as Parquet: for each photo its crop and V_lᵀ F̄ of every level, in half precision.

They are all that the distill loss needs of the teacher, in k channels instead of C.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pcakd.eigenbases.extraction import Crop, Cut
from pcakd.storage import Storage
from pcakd.storage.parquet import open_parquet
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


class Targets(NamedTuple):
    """One photo's targets."""

    key: str
    crop: Crop
    levels: list[np.ndarray]  # level l: float16 k×h×w, centred


def target_row(cut: Cut, levels: list[np.ndarray]) -> dict[str, Any]:
    """A row of TARGETS_SCHEMA."""
    crop = cut.crop
    row: dict[str, Any] = {"key": cut.key, "top": crop.top, "left": crop.left}
    row |= {"height": crop.height, "width": crop.width}
    for level, values in enumerate(levels):
        row[f"shape{level}"] = list(values.shape)
        row[f"level{level}"] = values.astype("<f2").tobytes()
    return row


def read_targets(storage: Storage, key: str) -> Iterator[Targets]:
    """The targets in one file, in order, a row group in memory at a time. Raises NotFoundError, FatalError."""
    with open_parquet(storage, key) as file:
        for group in range(file.num_row_groups):
            for row in file.read_row_group(group).to_pylist():
                crop = Crop(top=row["top"], left=row["left"], height=row["height"], width=row["width"])
                levels = [
                    np.frombuffer(row[f"level{level}"], "<f2").reshape(row[f"shape{level}"]) for level in range(LEVELS)
                ]
                yield Targets(row["key"], crop, levels)
