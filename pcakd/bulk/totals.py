"""What a job's rows add up to."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pcakd.bulk.schema import STEPS
from pcakd.errors import FatalError
from pcakd.photos.outcomes import NO_FAILURES, OK, PENDING


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Sums over items; those of parts can be added up.

    items:     of the listing; objects: distinct keys among them.
    status:    items by status; "pending" for those without a row. Adds up to `items`.
    passing:   failed items that another run takes again.
    bytes_in:  of the listed objects, counted for each of their items; bytes_out: of the outputs.
    pixels:    of the outputs.
    seconds:   spent in each of STEPS, added up over all workers and runs.
    """

    items: int = 0
    objects: int = 0
    status: dict[str, int] = field(default_factory=dict)
    passing: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    pixels: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STEPS, 0.0))

    @property
    def ok(self) -> int:
        return self.status.get(OK, 0)

    @property
    def pending(self) -> int:
        return self.status.get(PENDING, 0)

    @property
    def failed(self) -> int:
        """Items with a row that is neither ok nor left out."""
        return sum(count for status, count in self.status.items() if status not in NO_FAILURES)

    @classmethod
    def of_part(cls, items: pa.Table, rows: pa.Table) -> "Totals":
        """Of one part. items: ITEM_SCHEMA; rows: ROW_SCHEMA, one for each item that has any."""
        status = Counter(rows["status"].to_pylist())
        if missing := len(items) - len(rows):
            status[PENDING] = missing
        done = rows.filter(pc.equal(rows["status"], OK))
        keys = items["key"].to_pylist()
        return cls(
            items=len(items),
            objects=sum(1 for i, key in enumerate(keys) if i == 0 or keys[i - 1] != key),
            status=dict(status),
            passing=_sum(rows["passing"]),
            bytes_in=_sum(items["size"]),
            bytes_out=_sum(done["output_size"]),
            pixels=_sum(pc.multiply(pc.cast(done["width"], pa.int64()), pc.cast(done["height"], pa.int64()))),
            seconds={step: float(_sum(pc.cast(rows[f"{step}_s"], pa.float64()))) for step in STEPS},
        )

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            items=self.items + other.items,
            objects=self.objects + other.objects,
            status=dict(Counter(self.status) + Counter(other.status)),
            passing=self.passing + other.passing,
            bytes_in=self.bytes_in + other.bytes_in,
            bytes_out=self.bytes_out + other.bytes_out,
            pixels=self.pixels + other.pixels,
            seconds={step: self.seconds.get(step, 0.0) + other.seconds.get(step, 0.0) for step in STEPS},
        )

    def check(self, items: int) -> None:
        """Raise FatalError unless the statuses add up to the listing's number of items, none of them pending."""
        if self.items != items or sum(self.status.values()) != items or self.pending:
            raise FatalError(
                f"the ledger does not add up: {items:,} items listed, {sum(self.status.values()) - self.pending:,} "
                f"with a result; run the job again"
            )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"status": dict(sorted(self.status.items()))}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Totals":
        return cls(**{name: values[name] for name in cls.__dataclass_fields__})


def _sum(column: pa.ChunkedArray) -> int:
    return pc.sum(column).as_py() or 0
