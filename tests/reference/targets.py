"""Reads PCA targets back, as whoever distils from them would."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pcakd.eigenbases.extraction import Crop
from pcakd.storage import Storage
from pcakd.storage.parquet import open_parquet
from pcakd.student.network import LEVELS


class Targets(NamedTuple):
    """One photo's targets."""

    key: str
    crop: Crop
    levels: list[np.ndarray]  # level l: float16 k×h×w, centred


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
