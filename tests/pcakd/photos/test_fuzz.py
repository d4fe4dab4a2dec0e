"""Bytes that nobody meant: the reader gives a photo or one line, whatever is done to a file."""

import os
import resource
import time
import zlib
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pcakd.errors import PhotoError
from pcakd.photos.exif import pack_exif, read_exif
from pcakd.photos.images import peek, read_photo
from pcakd.photos.write import encode
from pcakd.photos.xmp import clean_xmp, fit_xmp, read_iptc
from tests import kinds
from tests.photo_parts import expanded_by_libtiff, grey_png

T = TypeVar("T")

FILES = [kind.data for kind in kinds.kinds()] + [data for _, data, _, _ in kinds.refused()]
FILES += [
    expanded_by_libtiff((kinds.base() / 255).astype(np.float32)[None], "tiff_lzw", 2),
    expanded_by_libtiff(np.moveaxis(kinds.deep(), -1, 0)[..., None].copy(), "zstd"),
    grey_png(kinds.grey() >> 4, 4, 3),
    kinds.png_chunks(kinds.base(), (b"zTXt", b"Author\0\0" + zlib.compress(b"x" * 1000))),
    b"P5 8 6 255\n" + bytes(48) + b"P4 8 6\n" + bytes(6),
]
HEAD = 600
"""Most of what decides is in a file's first bytes; the rest is pixels."""
LONGEST_S = 20.0
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES") or 150)
"""More for a longer run: FUZZ_EXAMPLES=10000 pytest tests/pcakd/photos/test_fuzz.py."""

positions = st.one_of(st.integers(0, HEAD), st.integers(0, 1 << 20))
changes = st.lists(st.tuples(positions, st.binary(min_size=1, max_size=6)), max_size=8)


@st.composite
def damaged(draw) -> bytes:
    """A file with some bytes overwritten, cut, doubled or followed by another's."""
    data = bytearray(draw(st.sampled_from(FILES)))
    for at, new in draw(changes):
        at %= max(1, len(data))
        data[at : at + len(new)] = new
    cut = draw(st.one_of(st.none(), st.integers(0, len(data))))
    if cut is not None:
        data = data[:cut]
    if draw(st.booleans()) and draw(st.booleans()):
        data += draw(st.sampled_from(FILES))[: draw(st.integers(0, 4000))]
    return bytes(data)


REASONS = {"empty", "not-an-image", "truncated", "too-large", "unsupported"}


def attempt(work: Callable[[], T]) -> T | None:
    """What the work gives, or None where it is refused in one line with a reason."""
    try:
        return work()
    except PhotoError as error:
        refused, reason = str(error), error.reason
    assert reason in REASONS
    assert "\n" not in refused
    return None


def check(data: bytes) -> None:
    started = time.monotonic()
    attempt(lambda: peek(data, "x"))
    photo = attempt(lambda: read_photo(data, name="x", max_pixels=1 << 20))
    if photo is not None:
        assert photo.rgb.dtype in (np.uint8, np.uint16)
        assert photo.rgb.shape[2] == 3
        for format in ("TIFF", "JPEG"):
            encoded = attempt(partial(encode, photo, format, name="x"))
            assert encoded is None or read_photo(encoded.data).size == photo.size
    assert time.monotonic() - started < LONGEST_S


SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=SLOW)
@given(damaged())
@example(b"")
@example(b"II*\0\x08\0\0\0" + b"\xff" * 40)
@example(b"\x89PNG\r\n\x1a\n")
def test_any_bytes_are_a_photo_or_one_line(data):
    check(data)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.one_of(st.binary(max_size=400), changes.map(lambda c: _changed(kinds.camera_exif(r03=True), c))))
def test_any_exif_is_read_and_written_again(block):
    found = read_exif(block)
    packed = pack_exif(found.exif, 10, 20, srgb=True, resolution=found.resolution)
    assert not packed or read_exif(packed).exif.gps == found.exif.gps


def _changed(block: bytes, changed: list) -> bytes:
    data = bytearray(block)
    for at, new in changed:
        at %= len(data)
        data[at : at + len(new)] = new
    return bytes(data)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.one_of(st.binary(max_size=300), changes.map(lambda c: _changed(kinds.rights_xmp(), c))),
    st.one_of(st.binary(max_size=100), changes.map(lambda c: _changed(kinds.iptc_block(), c))),
    st.one_of(st.just(b""), changes.map(lambda c: _changed(kinds.rights_xmp(), c))),
)
@example(b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>', b"", b"")
def test_any_xmp_and_iptc_are_cleaned(packet, iptc, extension):
    read_iptc(iptc)
    cleaned = clean_xmp(packet, iptc, extension)
    assert clean_xmp(cleaned) == cleaned or not cleaned
    assert len(fit_xmp(cleaned, 100)) <= 100


def test_memory_does_not_grow_over_damaged_files():
    rng = np.random.default_rng(0)

    def some(count: int) -> None:
        for _ in range(count):
            data = bytearray(FILES[rng.integers(len(FILES))])
            for at in rng.integers(0, min(len(data), HEAD), 4):
                data[at] = rng.integers(256)
            try:
                read_photo(bytes(data), max_pixels=1 << 18)
            except PhotoError:
                continue

    some(300)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    some(600)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 60_000, "KiB"


pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
