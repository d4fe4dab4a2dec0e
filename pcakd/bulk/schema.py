"""The tables of a bulk job: items and rows."""

import pyarrow as pa

FOLDER = "_pcakd"
"""Under the destination: the ledgers of all jobs. Never the name of an output, never listed as a source."""

FORMAT = 1
"""Version of the ledger's layout; raised when older readers would misread it."""

PART_ITEMS = 10_000
"""Items of a part: what is held in memory at a time."""

ITEM_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
        pa.field("style", pa.string(), nullable=False),
        pa.field("output", pa.string(), nullable=False),
        pa.field("transform", pa.string()),
        pa.field("strength", pa.float64()),
        pa.field("smoothing", pa.string()),
        pa.field("version", pa.string()),
    ]
)
"""One item. key: under the source, as `pcakd.storage.keys.text` writes it (`key_of` gives the key to read);
size, etag: as listed; style: a name of the job's; output: key under the destination; transform, strength,
smoothing: null where the job's own count; version: that an inventory lists, else null. Tables of before there were
versions are read, too."""

ROW_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("etag", pa.string()),
        pa.field("size", pa.int64()),
        pa.field("style", pa.string(), nullable=False),
        pa.field("output", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("passing", pa.bool_(), nullable=False),
        pa.field("error", pa.string()),
        pa.field("message", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("output_size", pa.int64()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("fetch_s", pa.float32()),
        pa.field("decode_s", pa.float32()),
        pa.field("stylize_s", pa.float32()),
        pa.field("encode_s", pa.float32()),
        pa.field("put_s", pa.float32()),
        pa.field("run", pa.string()),
        pa.field("worker", pa.string()),
        pa.field("finished", pa.timestamp("ms", "UTC")),
        pa.field("model", pa.string()),
        pa.field("version", pa.string()),
    ]
)
"""What became of an item. key, style, output: the item's; etag, size: of the bytes that were read (the item's own
where none were); status: see `pcakd.photos.outcomes`; passing: may go well another time; error, message: class and
words, of failures; sha256, output_size, width, height: of the output; *_s: seconds; worker: "host:pid"; model: with
its alias resolved; version: of the bytes that were read, in a bucket that keeps versions (the item's own
where none were). Tables of before there were versions are read, too."""

STEPS = ("fetch", "decode", "stylize", "encode", "put")
"""What a worker spends its time on; the row's columns are these names with "_s"."""
