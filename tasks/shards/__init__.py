"""Sharding: a folder or bucket of photos becomes Parquet shards, on Ray.

from pcakd.shards import ShardConfig
from tasks.shards import shard_dataset

report = shard_dataset(ShardConfig(source="s3://photos", dest="s3://shards/photos-512"))
"""

from tasks.shards.job import ShardReport, dry_run, shard_dataset

__all__ = ["ShardReport", "dry_run", "shard_dataset"]
