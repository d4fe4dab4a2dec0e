"""What a sharding job is told, validated once."""

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from pcakd.fields import Bounds, check_fields
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
    shortest_side: Annotated[int, Bounds(8, 16384)] = 512
    """Photos are shrunk to this shortest side in pixels; smaller ones stay as they are."""
    shard_mb: Annotated[int, Bounds(1, 2000)] = 128
    """Megabytes (10^6 bytes) of photos in a shard; the last of a split is smaller."""
    val_fraction: Annotated[float, Bounds(0, below=1)] = 0.05
    """Share of the photos for the validation split, by a stable hash of the key."""
    limit: Annotated[int | None, Bounds(1)] = None
    """Take only the first so many objects, in the order of their keys."""
    max_pixels: Annotated[int, Bounds(1)] = field(default_factory=max_pixels_default)
    """Larger photos are left out as too-large; from PCAKD_MAX_PIXELS, else 268 million."""
    quality: Annotated[int, Bounds(1, 100)] = 95
    """JPEG quality of the photos in the shards."""
    part_objects: Annotated[int, Bounds(1, 10_000)] = 128
    """Objects of one unit of work, which is also what an interrupt loses at most on each CPU."""

    def __post_init__(self) -> None:
        check_fields(self)

    def params(self) -> dict[str, Any]:
        """Everything that the result depends on beside the source's content."""
        return {name: value for name, value in asdict(self).items() if name not in ("source", "dest")} | {
            "format": FORMAT
        }
