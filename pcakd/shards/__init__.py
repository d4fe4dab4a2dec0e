"""Sharded datasets: photos in Parquet, and a table of what became of every object of the source."""

from pcakd.shards.config import ShardConfig
from pcakd.shards.dataset import ShardDataset, ShardInfo, ShardRow, open_dataset
from pcakd.shards.schema import OBJECTS_SCHEMA, SHARD_SCHEMA, SPLITS, TRAIN, VAL, split_of

__all__ = [
    "OBJECTS_SCHEMA",
    "SHARD_SCHEMA",
    "SPLITS",
    "TRAIN",
    "VAL",
    "ShardConfig",
    "ShardDataset",
    "ShardInfo",
    "ShardRow",
    "open_dataset",
    "split_of",
]
