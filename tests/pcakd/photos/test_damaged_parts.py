"""Damage beside a picture's pixels costs what it damaged, and is said; what is behind a picture is never dropped."""

import struct
import zlib

import numpy as np
import pytest

from pcakd.errors import PhotoError
from pcakd.photos.images import peek, read_photo
from pcakd.photos.write import encode
from tests import kinds

AUTHOR, GAMMA = (b"tEXt", b"Author\0M\xfcller"), (b"gAMA", struct.pack(">I", 100_000))


def with_wrong_sum(data: bytes, name: bytes) -> bytes:
    """A PNG whose chunk of that name has a wrong checksum."""
    at = data.index(name)
    end = at + 4 + int.from_bytes(data[at - 4 : at])
    return data[:end] + bytes([data[end] ^ 0xFF]) + data[end + 1 :]


def test_a_png_whose_text_has_a_wrong_checksum_is_read_without_it_and_that_is_said():
    data = with_wrong_sum(kinds.png_chunks(kinds.base(), AUTHOR), b"tEXt")
    photo = read_photo(data)
    assert np.array_equal(photo.rgb, kinds.base())
    assert not photo.metadata
    assert encode(photo, "JPEG").notes == ("without its damaged tEXt",)
    assert peek(data).size == photo.size


def test_what_is_whole_beside_a_damaged_chunk_counts():
    both = kinds.png_chunks(kinds.base(), GAMMA, AUTHOR)
    whole = read_photo(both)
    assert np.array_equal(read_photo(with_wrong_sum(both, b"tEXt")).rgb, whole.rgb)
    without_gamma = read_photo(with_wrong_sum(both, b"gAMA"))
    assert np.array_equal(without_gamma.rgb, kinds.base())
    assert without_gamma.metadata == whole.metadata


@pytest.mark.parametrize("name", [b"IHDR", b"acTL", b"fcTL"])
def test_damage_to_what_the_picture_is_made_of_is_damage(name):
    with pytest.raises(PhotoError) as caught:
        read_photo(with_wrong_sum(kinds.animation("PNG"), name))
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("begin", [(b"zTXt", b"k\0\0"), (b"iTXt", b"k\0\1\0\0\0"), (b"iCCP", b"k\0\0")], ids=str)
def test_a_text_or_profile_that_expands_to_megabytes_costs_itself_alone(begin):
    name, head = begin
    photo = read_photo(kinds.png_chunks(kinds.base(), (name, head + zlib.compress(bytes(3 << 20)))))
    assert np.array_equal(photo.rgb, kinds.base())
    assert photo.notes == (f"without its damaged {name.decode()}",)


@pytest.mark.parametrize(
    "pictures",
    [
        b"P6\n# by a scanner\n2 1\n255\n" + bytes(6),
        b"P6 2 1 65535\n" + bytes(12),
        b"P5 2 1 255\n" + bytes(2),
        b"P4 9 1\n" + bytes(2),
    ],
    ids=["colour", "deep colour", "grey", "bits"],
)
def test_pnm_files_of_several_pictures_are_refused_with_their_number(pictures):
    assert read_photo(pictures).size[0] == 1
    for count in (2, 3):
        for read in (read_photo, peek):
            with pytest.raises(PhotoError, match=f"scan.ppm: has {count} pictures") as caught:
                read(b"\n".join([pictures] * count), name="scan.ppm")
            assert caught.value.reason == "unsupported"
