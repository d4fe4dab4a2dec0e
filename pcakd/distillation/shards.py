"""Sharded photos by number, for random access in a shuffled order."""

import bisect
from collections import OrderedDict
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pcakd.distillation.data import Cached, FolderPhotos, PhotoSet
from pcakd.errors import UsageError
from pcakd.photos.images import read_photo
from pcakd.shards import ShardDataset, open_dataset
from pcakd.storage import LocalStorage, open_storage
from pcakd.storage.parquet import open_parquet
from pcakd.storage.stage import MANIFEST

GROUPS_KEPT = 32
"""Row groups (8 MiB of encoded photos) kept in memory."""


class Group(NamedTuple):
    """Where a row group is, and which of its rows count."""

    file: str
    number: int
    counting: np.ndarray


class ShardPhotos:
    """The photos of one split; row groups are fetched when one of their photos is asked for."""

    def __init__(self, dataset: ShardDataset, split: str) -> None:
        self.dataset, self.split = dataset, split
        self.groups: list[Group] = []
        rows: list[int] = []
        for shard in dataset.shards(split):
            with open_parquet(dataset.storage, shard.file) as file:
                first = 0
                for number in range(file.num_row_groups):
                    count = file.metadata.row_group(number).num_rows
                    counting = shard.counting(first, count)
                    first += count
                    self.groups.append(Group(shard.file, number, counting))
                    rows.append(len(counting))
        self.ends = list(accumulate(rows))
        self.kept: OrderedDict[int, list[bytes]] = OrderedDict()

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, index: int) -> np.ndarray:
        group = bisect.bisect_right(self.ends, index)
        row = index - (self.ends[group - 1] if group else 0)
        return read_photo(self._images(group)[row], name=f"{self.split} photo {index}").rgb8

    @property
    def digest(self) -> str:
        return self.dataset.digest

    def _images(self, group: int) -> list[bytes]:
        if group not in self.kept:
            with open_parquet(self.dataset.storage, self.groups[group].file) as file:
                table = file.read_row_group(self.groups[group].number, columns=["image"], use_threads=False)
            self.kept[group] = table.column("image").take(pa.array(self.groups[group].counting)).to_pylist()
            if len(self.kept) > GROUPS_KEPT:
                self.kept.popitem(last=False)
        self.kept.move_to_end(group)
        return self.kept[group]


def open_photos(place: str, *, held_out: str | None = None, cache_mb: int = 1024) -> tuple[PhotoSet, PhotoSet | None]:
    """Photos to train on and to validate on, or None.

    place: what `pcakd shard` wrote (its train and val splits), or a plain local folder of photos. held_out: another
    such place to validate on. Raises UsageError.
    """
    train, validation = _open(place)
    if held_out is not None:
        other, other_validation = _open(held_out)
        validation = other_validation if other_validation is not None else other
    if not len(train):
        raise UsageError(f"{place}: has no photos to train on")
    return Cached(train, cache_mb), validation


def _open(place: str) -> tuple[PhotoSet, PhotoSet | None]:
    storage = open_storage(place)
    if isinstance(storage, LocalStorage) and not storage.exists(MANIFEST):
        return FolderPhotos(storage.uri()), None
    dataset = open_dataset(storage)
    validation = ShardPhotos(dataset, "val")
    return ShardPhotos(dataset, "train"), validation if len(validation) else None
