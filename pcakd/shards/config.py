"""What a sharding job is told, validated once."""

from dataclasses import asdict, dataclass, field
from typing import Any

from pcakd.checks import within
from pcakd.errors import UsageError
from pcakd.photos.images import max_pixels_default

FORMAT = 1
"""Version of the layout under the destination; raised when older readers would misread it."""


@dataclass(frozen=True, kw_only=True)
class ShardConfig:
    """One sharding job: the same values over the same source give the same bytes."""

    source: str
    """Folder or s3://bucket/prefix with photos."""
    dest: str
    """Folder or s3://bucket/prefix for the shards."""
    shortest_side: int = 512
    """Photos are shrunk to this shortest side in pixels; smaller ones stay as they are."""
    shard_mb: int = 128
    """Encoded photos in one shard, in megabytes (10^6 bytes); the last of a split is smaller."""
    val_fraction: float = 0.05
    """Share of the photos that goes to the validation split, by a stable hash of the key."""
    limit: int | None = None
    """Take only the first so many objects of the listing."""
    max_pixels: int = field(default_factory=max_pixels_default)
    """Larger photos are left out as too-large; from PCAKD_MAX_PIXELS, else 268 million."""
    quality: int = 95
    """JPEG quality of the photos in the shards."""
    part_objects: int = 128
    """Objects of one unit of work, which is also what an interrupt loses at most on each CPU."""

    def __post_init__(self) -> None:
        within("shortest_side", self.shortest_side, 8, 16384)
        within("shard_mb", self.shard_mb, 1, 2000)
        within("max_pixels", self.max_pixels, 1)
        within("quality", self.quality, 1, 100)
        within("part_objects", self.part_objects, 1, 10_000)
        if self.limit is not None:
            within("limit", self.limit, 1)
        if not 0 <= self.val_fraction < 1:
            raise UsageError(f"val_fraction is {self.val_fraction}: give 0 or more, less than 1")

    def params(self) -> dict[str, Any]:
        """Everything that the result depends on beside the source's content."""
        return {name: value for name, value in asdict(self).items() if name not in ("source", "dest")} | {
            "format": FORMAT
        }
