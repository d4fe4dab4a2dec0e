import re
from pathlib import Path

import pytest

from pcakd.errors import AccessError, ArchivedError, FatalError, NotFoundError, PhotoError, TransientError, UsageError
from pcakd.photos.outcomes import (
    BULK_STATUSES,
    MAX_OBJECT_BYTES,
    MAY_PASS,
    SHARD_STATUSES,
    check_bytes,
    ends_the_job,
    status_of,
)

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PhotoError("x", reason="truncated"), "truncated"),
        (NotFoundError("x"), "missing"),
        (ArchivedError("x"), "archived"),
        (AccessError("x"), "denied"),
        (TransientError("x"), "unreachable"),
        (FatalError("unreadable sector"), "unreachable"),
        (UsageError("a folder is in the way"), "unsupported"),
        (MemoryError(), "no-memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "no-memory"),
        (RuntimeError("?"), "crashed"),
        (ValueError("?"), "crashed"),
    ],
)
def test_every_error_has_one_status_that_shards_and_bulk_jobs_know(error, status):
    assert status_of(error) == status
    assert status in SHARD_STATUSES
    assert status in BULK_STATUSES


@pytest.mark.parametrize(
    ("error", "reading", "writing"),
    [
        (AccessError("x", credentials=True), True, True),
        (AccessError("x"), False, True),
        (NotFoundError("no bucket"), False, True),
        (FatalError("disk full"), False, True),
        (TransientError("x"), False, False),
        (UsageError("a folder is in the way"), False, False),
        (PhotoError("x", reason="truncated"), False, False),
        (ValueError("?"), False, False),
    ],
)
def test_refused_credentials_and_a_destination_that_takes_nothing_end_the_job(error, reading, writing):
    assert (ends_the_job(error), ends_the_job(error, writing=True)) == (reading, writing)


def test_what_may_pass_is_known_to_both_and_is_never_in_the_photo_itself():
    assert SHARD_STATUSES.keys() & BULK_STATUSES.keys() >= MAY_PASS
    assert not MAY_PASS & {"ok", "empty", "not-an-image", "truncated", "too-large", "unsupported", "exists"}


def test_every_reason_that_a_photo_is_refused_for_is_a_status():
    sources = [path.read_text() for package in ("pcakd", "tasks") for path in (ROOT / package).rglob("*.py")]
    reasons = {reason for text in sources for reason in re.findall(r'reason="([^"]+)"', text)}
    photo_reasons = {reason for reason in reasons if " " not in reason}  # the champion's gate writes sentences
    assert {"truncated", "empty"} <= photo_reasons <= SHARD_STATUSES.keys() & BULK_STATUSES.keys()


def test_objects_over_a_gigabyte_are_too_large():
    check_bytes(MAX_OBJECT_BYTES, "a.jpg")
    with pytest.raises(PhotoError, match=r"a.jpg: has 1,073,741,825 bytes, over the limit") as caught:
        check_bytes(MAX_OBJECT_BYTES + 1, "a.jpg")
    assert caught.value.reason == "too-large"
