"""The tables of a sharded dataset: shards, and the objects table beside them."""

import hashlib

import pyarrow as pa

SHARD_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("image", pa.binary(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("source_uri", pa.string(), nullable=False),
        pa.field("source_etag", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
    ]
)
"""One row a photo. image: JPEG, upright, sRGB, of width × height pixels; sha256: hash of `image`."""

LISTING_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
        pa.field("mtime", pa.float64(), nullable=False),
    ]
)
"""The snapshot of the source that a job works on, in the order of the keys."""

OUTCOME_SCHEMA = pa.schema(
    [
        *LISTING_SCHEMA,
        pa.field("status", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
        pa.field("split", pa.string()),
        pa.field("source_width", pa.int32()),
        pa.field("source_height", pa.int32()),
        pa.field("bytes", pa.int64()),
        pa.field("sha256", pa.string()),
        pa.field("source_sha256", pa.string()),
        pa.field("red", pa.float32()),
        pa.field("green", pa.float32()),
        pa.field("blue", pa.float32()),
    ]
)
"""What became of one object. status: see `pcakd.photos.outcomes`; detail: the reason in words; split, sizes, bytes,
sha256: of photos that are ok; source_sha256: of the object's own bytes; red, green, blue: mean colour, 0 to 255. The
last four are null in tables of before they were kept."""

OBJECTS_SCHEMA = pa.schema([*OUTCOME_SCHEMA, pa.field("shard", pa.string()), pa.field("duplicate_of", pa.string())])
"""One row for every object of the listing. shard: the file that holds the photo; duplicate_of: the key that does."""

COLOURS = ("red", "green", "blue")

TRAIN = "train"
VAL = "val"
SPLITS = (TRAIN, VAL)


def split_of(key: str, val_fraction: float) -> str:
    """The split of a photo: depends on its key and the fraction alone, so that it stays when photos come and go."""
    draw = int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()[:8])
    return VAL if draw < val_fraction * 2**64 else TRAIN
