"""Files that are cut: a picture that is not all there is never taken for the whole."""

import time

import numpy as np
import pytest

from pcakd.errors import PhotoError
from pcakd.photos.images import read_photo
from tests import kinds
from tests.corpus import encode, photograph

WAYS = {
    "sequential": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "progressive-restarts": {"progressive": True, "restart_marker_blocks": 3},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_jpeg_cut_anywhere_is_refused_unless_it_lacks_its_end_marker_alone(way):
    # A decoder fills up a scan that ends at a restart marker, and shows the scans before one that is missing.
    data = encode(photograph(1, 24, 32), "JPEG", quality=85, **WAYS[way])
    whole = read_photo(data).rgb
    read = []
    for length in range(1, len(data)):
        try:
            photo = read_photo(data[:length])
        except PhotoError:
            continue
        read.append(length)
        assert np.array_equal(photo.rgb, whole), length
    assert len(data) - 2 in read
    assert min(read) > len(data) - 5


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "AVIF", "JPEG2000", "TIFF"])
def test_a_file_cut_in_its_header_is_truncated_and_not_another_kind(format):
    data = encode(kinds.frames()[0], format, **({"compression": "tiff_lzw"} if format == "TIFF" else {}))
    for length in (30, 60, 200):
        with pytest.raises(PhotoError) as caught:
            read_photo(data[:length], name="cut")
        assert caught.value.reason == "truncated"


@pytest.mark.parametrize("filling", [b"\xff", b"\xff\xc4\0\2", b"\xff\0"], ids=["fill", "segments", "scan"])
def test_a_jpeg_of_nothing_but_markers_is_refused_without_a_walk_through_all_of_it(filling):
    scan = b"\xff\xda\0\x08\1\1\0\0\x3f\0"
    started = time.process_time()
    with pytest.raises(PhotoError):
        read_photo(b"\xff\xd8" + scan + filling * (40_000_000 // len(filling)))
    assert time.process_time() - started < 4
