"""What a run in MLflow was made of: the photos that it read, as a dataset with digest, generation and counts."""

from pcakd.shards.dataset import ShardDataset
from pcakd.shards.schema import SPLITS
from tasks.tracking import Tracker


def read_shards(run: Tracker, shards: ShardDataset, *, context: str = "training") -> None:
    """Tell MLflow of a sharded dataset that a run reads."""
    manifest = shards.manifest
    counts = {f"photos_{name}": split["rows"] for name, split in manifest.get("splits", {}).items()}
    run.dataset(
        "shards",
        shards.digest,
        shards.storage.uri(),
        context=context,
        photos_of=manifest.get("source"),
        generation=manifest.get("generation"),
        **counts,
    )


def photo_count(shards: ShardDataset) -> int:
    """Photos of a dataset in all splits."""
    return sum(map(shards.count, SPLITS))
