"""The tables of a bulk job: items, rows, statuses."""

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
    ]
)
"""One item. key: under the source, as `pcakd.shards.tables.text` writes it (`key_of` gives the key to read);
size, etag: as listed; style: a name of the job's; output: key under the destination; transform, strength,
smoothing: null where the job's own count."""

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
    ]
)
"""What became of an item. key, style, output: the item's; etag, size: of the bytes that were read (the item's own
where none were); passing: may go well another time; error, message: class and words, of failures; sha256,
output_size, width, height: of the output; *_s: seconds; worker: "host:pid"; model: with its alias resolved."""

STAGES = ("fetch", "decode", "stylize", "encode", "put")
"""What a worker spends its time on; the row's columns are these names with "_s"."""

OK = "ok"
EXISTS = "exists"
MISSING = "missing"
DENIED = "denied"
UNREACHABLE = "unreachable"
CRASHED = "crashed"
NO_MEMORY = "no-memory"
PENDING = "pending"

STATUSES = {
    OK: "stylized and written",
    EXISTS: "something else stands where the result belongs, and the policy is fail",
    MISSING: "listed, but gone when it was fetched",
    DENIED: "the storage lists it, but does not let it be read or the result be written",
    UNREACHABLE: "the storage gave no whole answer after retries",
    CRASHED: "it ended its worker process, or failed in an unforeseen way",
    NO_MEMORY: "stylizing it did not fit in memory",
    "empty": "0 bytes",
    "not-an-image": "not in a known image format",
    "truncated": "truncated or damaged",
    "too-large": "over the limit of pixels or bytes",
    "unsupported": "a picture that cannot be stylized or written",
    PENDING: "not reached: the run ended before",
}
"""Status → what it means. Rows never say "pending": it is what totals call items without a row."""

MAY_PASS = frozenset({MISSING, DENIED, UNREACHABLE, CRASHED, NO_MEMORY})
"""Statuses that another run tries again; the others are in the object itself, or in the policy. What counts is a
row's `passing`."""
