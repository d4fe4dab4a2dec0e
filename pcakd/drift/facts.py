"""What the photos of a dataset are like, from its objects table alone: mean colour, shortest side."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pcakd.photos.outcomes import OK
from pcakd.shards.dataset import ShardDataset
from pcakd.shards.report import SIDE_EDGES
from pcakd.shards.schema import COLOURS

SURE = 3.0
"""Standard errors within which a difference of means is chance."""


@dataclass(kw_only=True)
class PhotoFacts:
    """Sums over photos.

    coloured: photos whose mean colour is known; sums, squares: of these colours, 0 to 255, red, green, blue.
    sides: photos by the shortest side of their source, in the bins of `SIDE_EDGES`.
    """

    photos: int = 0
    coloured: int = 0
    sums: np.ndarray = field(default_factory=lambda: np.zeros(3))
    squares: np.ndarray = field(default_factory=lambda: np.zeros(3))
    sides: np.ndarray = field(default_factory=lambda: np.zeros(len(SIDE_EDGES) - 1, np.int64))

    def add(self, rows: pa.Table) -> None:
        """rows: of OBJECTS_SCHEMA, all ok; of before colours were kept, too."""
        self.photos += len(rows)
        shortest = np.minimum(rows["source_width"].to_numpy(), rows["source_height"].to_numpy())
        self.sides += np.histogram(shortest.clip(0, SIDE_EDGES[-1]), SIDE_EDGES)[0]
        if set(COLOURS) <= set(rows.column_names):
            colours = np.stack([rows[name].to_numpy(zero_copy_only=False).astype(float) for name in COLOURS], axis=1)
            colours = colours[np.isfinite(colours).all(axis=1)]
            self.coloured += len(colours)
            self.sums += colours.sum(0)
            self.squares += (colours**2).sum(0)

    @property
    def colour(self) -> np.ndarray | None:
        """Mean of the photos' mean colours; None where no photo's is known."""
        return self.sums / self.coloured if self.coloured else None

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation of the photos' mean colours, at least one step of 255."""
        mean = self.sums / max(self.coloured, 1)
        return np.sqrt((self.squares / max(self.coloured, 1) - mean**2).clip(1))


def facts_of(dataset: ShardDataset, shards: Collection[str] | None = None) -> PhotoFacts:
    """The photos of a dataset, or those that lie in these shards."""
    facts = PhotoFacts()
    wanted = None if shards is None else pa.array(sorted(shards), pa.string())
    for table in dataset.objects():
        kept = table.filter(pc.equal(table["status"], OK))
        if wanted is not None:
            kept = kept.filter(pc.is_in(kept["shard"], value_set=wanted))
        if len(kept):
            facts.add(kept)
    return facts


def colour_shift(new: PhotoFacts, old: PhotoFacts) -> float | None:
    """How far the mean colour of new photos lies from that of old ones, at the worst of red, green and blue, in
    standard deviations of single photos, less what chance explains; None where colours are not known."""
    if new.colour is None or old.colour is None:
        return None
    chance = SURE * math.sqrt(1 / new.coloured + 1 / old.coloured)
    return max(0.0, float((np.abs(new.colour - old.colour) / old.deviation).max()) - chance)


def size_shift(new: PhotoFacts, old: PhotoFacts) -> float | None:
    """Total variation distance of the histograms of shortest sides, 0 to 1, less what chance explains."""
    if not new.photos or not old.photos:
        return None
    p, q = new.sides / new.photos, old.sides / old.photos
    pooled = (new.sides + old.sides) / (new.photos + old.photos)
    # Half the sum of the bins' expected errors, and as much again.
    chance = float(np.sqrt(pooled * (1 - pooled) * (1 / new.photos + 1 / old.photos)).sum())
    return max(0.0, float(np.abs(p - q).sum()) / 2 - chance)


def facts_record(facts: PhotoFacts) -> dict[str, Any]:
    """For a manifest."""
    colour = facts.colour
    return {
        "photos": facts.photos,
        "colour": None if colour is None else [round(float(value), 3) for value in colour],
        "sides": facts.sides.tolist(),
    }
