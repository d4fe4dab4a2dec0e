"""What people expect of single files that the table of kinds does not say: sides, segments, thumbnails, profiles."""

import io

import numpy as np
import pytest
from PIL import Image

from pcakd.photos.image import PhotoImage
from pcakd.photos.images import read_photo
from pcakd.photos.write import encode
from tests import kinds
from tests.corpus import encode as pillow_encode
from tests.opened import second_reader

PICTURE = Image.fromarray(kinds.base())
TURNS = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_90", "TRANSVERSE", "ROTATE_270")


@pytest.mark.parametrize("profile", [kinds.linear_grey_profile(), b"\xff" * 3000], ids=["grey", "damaged"])
def test_a_profile_of_another_kind_or_a_damaged_one_is_none(profile):
    for bits in (pillow_encode(PICTURE, "PNG", icc_profile=profile), deep_with(profile)):
        assert np.array_equal(read_photo(bits).rgb8, kinds.base())


def deep_with(profile: bytes) -> bytes:
    import zlib

    return kinds.png_chunks(kinds.base().astype(np.uint16) * 257, (b"iCCP", b"p\0\0" + zlib.compress(profile)))


def test_inks_of_a_jpeg_are_taken_for_inverted_with_and_without_adobes_marker():
    data = pillow_encode(PICTURE.convert("CMYK"), "JPEG", quality=95)
    at = data.index(b"\xff\xee")
    bare = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4]) :]
    assert b"Adobe" in data
    assert b"Adobe" not in bare
    for found in (data, bare):
        assert np.abs(read_photo(found).rgb.astype(float) - kinds.base()).mean() < 3


def test_metadata_near_the_limit_of_a_jpeg_segment_stays_whole():
    exif = kinds.camera_exif(extra={0x9286: b"ASCII\0\0\0" + b"c" * 64_000})
    photo = read_photo(pillow_encode(PICTURE, "JPEG", quality=95, exif=exif))
    encoded = encode(photo, "JPEG")
    assert not encoded.notes
    assert read_photo(encoded.data).metadata.exif.photo[0x9286] == photo.metadata.exif.photo[0x9286]


@pytest.mark.parametrize(("orientation", "turn"), list(enumerate(TURNS, 2)))
def test_every_orientation_of_a_jpeg_comes_out_upright_and_contradicts_nothing(orientation, turn):
    stored = PICTURE.transpose(Image.Transpose[turn])
    data = pillow_encode(stored, "JPEG", quality=95, subsampling=0, exif=kinds.camera_exif(orientation))
    decoded = Image.open(io.BytesIO(data)).convert("RGB")
    back = {"ROTATE_90": "ROTATE_270", "ROTATE_270": "ROTATE_90"}.get(turn, turn)
    photo = read_photo(data)
    assert np.array_equal(photo.rgb, np.asarray(decoded.transpose(Image.Transpose[back])))
    exif = Image.open(io.BytesIO(encode(photo, "JPEG").data)).getexif()
    assert exif[0x0112] == 1
    assert (exif.get_ifd(0x8769)[0xA002], exif.get_ifd(0x8769)[0xA003]) == PICTURE.size
    assert not {0x0100, 0x0101} & exif.keys()


def test_exif_decides_the_orientation_where_xmp_says_another():
    xmp = kinds.rights_xmp().replace(b'tiff:Orientation="1"', b'tiff:Orientation="3"')
    stored = PICTURE.transpose(Image.Transpose.ROTATE_90)
    data = pillow_encode(stored, "WEBP", lossless=True, exif=kinds.camera_exif(6), xmp=xmp)
    assert np.array_equal(read_photo(data).rgb, kinds.base())


def test_an_old_thumbnail_is_left_behind_and_exif_kept_through_python():
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif._ifds[1] = {0x0103: 6, 0x0201: 200, 0x0202: 500}
    image = PhotoImage.of(read_photo(pillow_encode(PICTURE, "JPEG", exif=exif.tobytes())))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    again = Image.open(buffer).getexif()
    assert again[0x010F] == "Maker"
    assert not again.get_ifd(1)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (200, 1), (5, 300), (61, 43)])
def test_any_size_is_written_exactly_in_every_format(size):
    photo = read_photo(PICTURE.resize(size))
    for format in ("JPEG", "PNG", "TIFF", "WEBP", "AVIF", "GIF"):
        data = encode(photo, format).data
        assert Image.open(io.BytesIO(data)).size == size
        assert second_reader(data, format).shape[1::-1] == size


def test_the_frame_of_a_gif_is_what_is_seen_after_the_frames_before():
    frames = [Image.fromarray(np.roll(kinds.base(), 5 * i, axis=1)).quantize(32 + i) for i in range(3)]
    for frame in frames[1:]:
        frame.info["transparency"] = 3
    data = pillow_encode(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=[40, 90, 120], disposal=1)
    photo, image = read_photo(data), Image.open(io.BytesIO(data))
    assert photo.timing.durations == (40.0, 90.0, 120.0)
    for number, page in enumerate(photo.pages):
        image.seek(number)
        assert np.array_equal(page.rgb, np.asarray(image.convert("RGB")))


def test_tiff_opens_anywhere_without_an_editors_private_blocks():
    """What comes as a 150 kB private tag of layers, or as a thumbnail's table, is not in the result."""
    data = next(kind.data for kind in kinds.kinds() if kind.name == "layers.tif")
    result = encode(read_photo(data), "TIFF").data
    assert len(data) > 150_000 > len(result)
    assert 37724 not in Image.open(io.BytesIO(result)).tag_v2
    assert np.array_equal(second_reader(result, "TIFF"), kinds.base())


@pytest.mark.parametrize("profile", [kinds.p3_profile(), kinds.linear_grey_profile()], ids=["p3", "grey"])
def test_a_photo_with_a_profile_is_as_its_plain_sibling_in_every_depth(profile):
    """The same samples in 8 and in 16 bits, as TIFF and as PNG, through the same profile."""
    samples = kinds.grey() if profile == kinds.linear_grey_profile() else kinds.base()
    deep = samples.astype(np.uint16) * 257
    kind = "minisblack" if samples.ndim == 2 else "rgb"
    found = [
        read_photo(pillow_encode(Image.fromarray(samples), "PNG", icc_profile=profile)),
        read_photo(kinds.tiff(samples, photometric=kind, iccprofile=profile)),
        read_photo(kinds.tiff(deep, photometric=kind, iccprofile=profile)),
    ]
    assert [photo.bits for photo in found] == [8, 8, 16]
    for other in found[1:]:
        assert np.abs(other.rgb8.astype(int) - found[0].rgb8).max() <= 2
    assert np.abs(found[0].rgb8.astype(int) - (samples if samples.ndim == 3 else kinds.three(samples))).max() > 10
