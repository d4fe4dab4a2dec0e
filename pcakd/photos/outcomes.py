"""What may become of an object, once for shards and bulk jobs: statuses, which of them may pass, errors → status.

A status is a short stable word in an objects table or a ledger; words are added, never renamed or given another
meaning, since old tables are read, too. The reasons of `PhotoError` are among them.
"""

from pcakd.errors import AccessError, ArchivedError, FatalError, NotFoundError, PhotoError, TransientError, UsageError

OK = "ok"
DUPLICATE = "duplicate"
EXISTS = "exists"
PENDING = "pending"

EMPTY = "empty"
NOT_AN_IMAGE = "not-an-image"
TRUNCATED = "truncated"
TOO_LARGE = "too-large"
UNSUPPORTED = "unsupported"
LEFT_OUT = "left-out"
ARCHIVED = "archived"

MISSING = "missing"
DENIED = "denied"
UNREACHABLE = "unreachable"
CRASHED = "crashed"
NO_MEMORY = "no-memory"

MAY_PASS = frozenset({MISSING, DENIED, UNREACHABLE, CRASHED, NO_MEMORY})
"""Statuses that another run tries again; the others are in the object itself, or in what the job was told."""

RETRIED = MAY_PASS | {ARCHIVED}
"""Statuses that `pcakd shard --retry-failed` takes: an archived object is the same one when it has been restored."""

NO_FAILURES = frozenset({OK, DUPLICATE, LEFT_OUT, PENDING})
"""Statuses that do not count as failures."""

_OF_AN_OBJECT = {
    MISSING: "listed, but gone when it was fetched",
    DENIED: "the storage allows listing it, but not reading it",
    UNREACHABLE: "the storage gave no whole answer after retries",
    CRASHED: "it ended its worker process, or failed in an unforeseen way",
    NO_MEMORY: "working on it did not fit in memory",
    EMPTY: "0 bytes",
    NOT_AN_IMAGE: "not in a known image format",
    TRUNCATED: "truncated or damaged",
    TOO_LARGE: "over the limit of pixels or bytes",
    ARCHIVED: "in an archive storage class: restore it first, then run again",
    LEFT_OUT: "no photo, by its name: a system's file, a sidecar, a text, a video, an archive; no failure",
}

SHARD_STATUSES = {
    OK: "in a shard",
    DUPLICATE: "the same picture as an object before it",
    **_OF_AN_OBJECT,
    UNSUPPORTED: "a picture that cannot be put in a shard",
}
"""Status in an objects table → what it means, in the order of a summary. All but "ok" are left out of the shards."""

BULK_STATUSES = {
    OK: "stylized and written",
    EXISTS: "something else stands where the result belongs, and the policy is fail",
    **_OF_AN_OBJECT,
    UNSUPPORTED: "a picture that cannot be stylized or written",
    PENDING: "not reached: the run ended before",
}
"""Status in a bulk job → what it means. Rows never say "pending": it is what totals call items without a row."""

MAX_OBJECT_BYTES = 1 << 30
"""Larger objects are not fetched: no photo of a size that is read needs more."""


def check_bytes(size: int, name: str) -> None:
    """Raise PhotoError "too-large" for an object of more than `MAX_OBJECT_BYTES`."""
    if size > MAX_OBJECT_BYTES:
        raise PhotoError(f"{name}: has {size:,} bytes, over the limit of {MAX_OBJECT_BYTES:,}", reason=TOO_LARGE)


def ends_the_job(error: Exception, *, writing: bool = False) -> bool:
    """Whether an error concerns all objects, not the one it came with.

    writing: it is the destination's: one that refuses one result refuses all.
    """
    if isinstance(error, AccessError):
        return error.credentials or writing
    return writing and isinstance(error, NotFoundError | FatalError)


def status_of(error: Exception) -> str:
    """The status of an object that this error came with, where it does not end the job."""
    match error:
        case PhotoError():
            return error.reason
        case ArchivedError():
            return ARCHIVED
        case AccessError():
            return DENIED
        case NotFoundError():
            return MISSING
        case TransientError() | FatalError():
            return UNREACHABLE
        case UsageError():
            return UNSUPPORTED
        case MemoryError():
            return NO_MEMORY
        case RuntimeError() if _no_memory(error):
            return NO_MEMORY
        case _:
            return CRASHED


def _no_memory(error: Exception) -> bool:
    """PyTorch's: of a GPU its own class, of the CPU a text."""
    return type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error)
