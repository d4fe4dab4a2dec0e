"""Who does what: the listing cut into units of work, and the photos that came out laid into shards."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import pyarrow as pa

from pcakd.photos.outcomes import OK
from pcakd.shards.schema import SPLITS
from pcakd.shards.tables import shard_name
from pcakd.storage import ObjectInfo

PART_BYTES = 256 << 20
"""Source bytes after which a part ends, however few objects it has."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One unit of work: objects that stand together in the listing."""

    number: int
    entries: list[ObjectInfo]

    @property
    def name(self) -> str:
        return part_name(self.number)


def part_name(number: int) -> str:
    """What a part's files are called; names sort in the order of the listing."""
    return f"{number:07d}"


def cut_into_parts(entries: Iterable[ObjectInfo], part_objects: int) -> Iterator[Part]:
    """Parts in the order of the listing; where they end depends on the listing alone."""
    held: list[ObjectInfo] = []
    size = number = 0
    for entry in entries:
        held.append(entry)
        size += entry.size
        if len(held) >= part_objects or size >= PART_BYTES:
            yield Part(number=number, entries=held)
            held, size, number = [], 0, number + 1
    if held:
        yield Part(number=number, entries=held)


@dataclass(kw_only=True)
class Photos:
    """The photos that are ok, in the order of the listing, as columns: about 50 bytes a photo.

    part: number of the part that holds it; row: its place among the part's photos of its split;
    split: index into SPLITS; size: encoded bytes; sha256: 32 bytes.
    """

    part: np.ndarray
    row: np.ndarray
    split: np.ndarray
    size: np.ndarray
    sha256: np.ndarray

    def __len__(self) -> int:
        return len(self.part)

    @classmethod
    def of_part(cls, number: int, outcome: pa.Table) -> "Photos":
        """The photos of one part. outcome: its table of OUTCOME_SCHEMA."""
        rows = outcome.select(["status", "split", "bytes", "sha256"]).to_pylist()
        rows = [row for row in rows if row["status"] == OK]
        split = np.array([SPLITS.index(row["split"]) for row in rows], np.int8)
        place = np.zeros(len(rows), np.int32)
        for code in range(len(SPLITS)):
            place[split == code] = np.arange((split == code).sum())
        return cls(
            part=np.full(len(rows), number, np.int32),
            row=place,
            split=split,
            size=np.array([row["bytes"] for row in rows], np.int64),
            sha256=np.array([bytes.fromhex(row["sha256"]) for row in rows], "S32"),
        )

    @classmethod
    def none(cls) -> "Photos":
        """No photo."""
        kinds = {"part": np.int32, "row": np.int32, "split": np.int8, "size": np.int64, "sha256": "S32"}
        return cls(**{name: np.zeros(0, kind) for name, kind in kinds.items()})

    @classmethod
    def joined(cls, parts: "Sequence[Photos]") -> "Photos":
        """The photos of several parts, in the order given."""
        names = [column.name for column in fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


@dataclass(frozen=True, kw_only=True)
class ShardPlan:
    """One shard to write.

    takes: (part number, rows to take from the part's photos of this split), in order.
    """

    name: str
    split: str
    takes: list[tuple[int, list[int]]] = field(repr=False)


def first_of_each(photos: Photos, known: np.ndarray) -> np.ndarray:
    """For every photo the index of the first one with its content; -1 where `known` (a sorted array of
    32-byte hashes already in shards) has it."""
    if not len(photos):
        return np.zeros(0, np.int64)
    _, first, inverse = np.unique(photos.sha256, return_index=True, return_inverse=True)
    result = first[inverse].astype(np.int64)
    if len(known):
        place = np.searchsorted(known, photos.sha256).clip(max=len(known) - 1)
        result[known[place] == photos.sha256] = -1
    return result


def lay_into_shards(
    photos: Photos, keep: np.ndarray, shard_bytes: int, first_number: dict[str, int]
) -> tuple[list[ShardPlan], np.ndarray]:
    """The shards of the photos with `keep`, in the order of the listing, each closed at `shard_bytes` or more.

    first_number: of each split's first new shard. Returns the plans, and for every photo the index
    of its plan, -1 for those not kept.
    """
    plans: list[ShardPlan] = []
    home = np.full(len(photos), -1, np.int64)
    for code, split in enumerate(SPLITS):
        members = np.flatnonzero(keep & (photos.split == code))
        # A shard takes photos until it reaches its size: cut where the running total passes a multiple of it.
        start = number = 0
        total = np.cumsum(photos.size[members])
        while start < len(members):
            before = total[start - 1] if start else 0
            end = min(len(members), int(np.searchsorted(total, before + shard_bytes)) + 1)
            chosen = members[start:end]
            home[chosen] = len(plans)
            name = shard_name(split, first_number.get(split, 0) + number)
            plans.append(ShardPlan(name=name, split=split, takes=_takes(photos, chosen)))
            start, number = end, number + 1
    return plans, home


def _takes(photos: Photos, chosen: np.ndarray) -> list[tuple[int, list[int]]]:
    parts, starts = np.unique(photos.part[chosen], return_index=True)
    rows = np.split(photos.row[chosen], starts[1:])
    return [(int(part), taken.tolist()) for part, taken in zip(parts, rows, strict=True)]
