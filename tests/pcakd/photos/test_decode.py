"""Photos of every kind that people have: read as they look, or refused by their name."""

import io
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from pcakd.errors import PhotoError
from pcakd.photos.images import peek, read_photo
from tests import kinds
from tests.corpus import encode
from tests.kinds import Kind
from tests.photo_parts import expanded_by_libtiff, grey_png

KINDS = kinds.kinds()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_photo_of_any_kind_is_read_as_it_looks(kind: Kind):
    photo = read_photo(kind.data, name=kind.name)
    assert photo.rgb.shape == kind.colours.shape
    assert np.abs(photo.rgb8.astype(float) - kind.colours).mean() <= kind.tolerance
    assert (photo.alpha is not None, photo.bits, len(photo.pages)) == (kind.alpha, kind.bits, kind.frames)
    assert photo.rgb.dtype == (np.uint16 if kind.bits == 16 else np.uint8)
    assert photo.alpha is None or (photo.alpha.dtype, photo.alpha.shape) == (photo.rgb.dtype, photo.size)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_describes_a_photo_is_read(kind: Kind):
    metadata = read_photo(kind.data, name=kind.name).metadata
    if kind.exif:
        assert metadata.exif.main[0x010F].text() == "Maker"
        assert metadata.exif.photo[0x9003].text() == "2024:01:02 03:04:05"
        assert metadata.exif.gps[1].text() == "N"
        assert not {0x0112, 0x927C, 0xA002, 0xA003} & (metadata.exif.main.keys() | metadata.exif.photo.keys())
    if kind.rights:
        assert kinds.RIGHTS.encode() in metadata.iptc or b"M\xc3\xbcller" in metadata.xmp
        assert b"Exposure2012" not in metadata.xmp
        assert b"Orientation" not in metadata.xmp
    if kind.dpi:
        assert metadata.resolution == pytest.approx((kind.dpi, kind.dpi), abs=0.01)


@pytest.mark.parametrize(("name", "data", "reason", "word"), kinds.refused(), ids=lambda value: str(value)[:20])
def test_what_is_not_read_is_refused_by_its_name(name, data, reason, word):
    with pytest.raises(PhotoError, match=word) as caught:
        read_photo(data, name=name)
    assert caught.value.reason == reason
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_header_says_how_many_pictures_there_are(kind: Kind):
    assert peek(kind.data).frames == kind.frames
    assert peek(kind.data).plain == (kind.frames == 1 and kind.bits == 8)


def test_the_whole_sixteen_bits_are_read():
    samples = kinds.deep()
    for data in (
        kinds.png_chunks(samples),
        kinds.tiff(samples, photometric="rgb"),
        kinds.tiff(samples, photometric="rgb", byteorder=">"),
        kinds.tiff(samples, photometric="rgb", compression="zlib", predictor=True, byteorder=">"),
        kinds.tiff(samples, photometric="rgb", tile=(32, 32), compression="zlib"),
        kinds.tiff(np.moveaxis(samples, -1, 0), photometric="rgb", planarconfig="separate", tile=(32, 32)),
        kinds.tiff(np.moveaxis(samples, -1, 0), photometric="rgb", planarconfig="separate", compression="zlib"),
    ):
        assert np.array_equal(read_photo(data).rgb, samples)


def test_a_thirty_two_bit_float_with_differences_is_read():
    samples = (kinds.base() / 255).astype(np.float32)
    for options in ({}, {"compression": "zlib"}, {"byteorder": ">"}, {"tile": (32, 32)}, {"rowsperstrip": 5}):
        photo = read_photo(kinds.tiff(samples, photometric="rgb", **options))
        assert np.array_equal(photo.rgb8, kinds.base())


def test_floats_with_differences_of_whole_numbers_are_read():
    import cv2

    samples = (kinds.base()[..., ::-1] / 255).astype(np.float32)
    for compression, predictor in ((8, 1), (8, 2), (8, 3), (1, 1)):
        options = [cv2.IMWRITE_TIFF_COMPRESSION, compression, cv2.IMWRITE_TIFF_PREDICTOR, predictor]
        _, data = cv2.imencode(".tif", samples, options)
        assert np.array_equal(read_photo(data.tobytes()).rgb8, kinds.base())


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "lzma", "zstd"])
def test_floats_and_planes_are_read_whatever_libtiff_compressed_them_with(compression):
    floats, deep = (kinds.base() / 255).astype(np.float32), kinds.deep()
    for predictor in (1,) if compression == "packbits" else (1, 2):
        data = expanded_by_libtiff(floats[None], compression, predictor)
        assert np.array_equal(read_photo(data).rgb8, kinds.base())
        planes = np.moveaxis(deep, -1, 0)[..., None]
        data = expanded_by_libtiff(np.ascontiguousarray(planes), compression, predictor)
        assert np.array_equal(read_photo(data).rgb, deep)


def test_a_damaged_tiff_is_one_line_of_ours_and_none_of_libtiffs(capfd):
    data = bytearray(encode(Image.fromarray(kinds.base()), "TIFF", compression="tiff_lzw"))
    data[200:260] = b"\xff" * 60
    with pytest.raises(PhotoError, match="truncated or damaged"):
        read_photo(bytes(data), name="scan.tif")
    assert capfd.readouterr() == ("", "")


def test_a_predictor_counts_where_there_is_compression():
    for samples in ((kinds.base() / 255).astype(np.float32), np.moveaxis(kinds.deep(), -1, 0)):
        planes = {"planarconfig": "separate"} if len(samples) == 3 else {}
        data = kinds.tiff(samples, photometric="rgb", extratags=[(317, 3, 1, 2, True)], **planes)
        assert np.abs(read_photo(data).rgb8.astype(int) - kinds.base()).max() <= 1


def test_thumbnails_and_smaller_versions_of_a_tiff_are_no_pages():
    pages = io.BytesIO()
    import tifffile

    with tifffile.TiffWriter(pages) as writer:
        writer.write(kinds.base(), photometric="rgb")
        writer.write(kinds.base()[::2, ::2], photometric="rgb", subfiletype=1)
    assert len(read_photo(pages.getvalue()).pages) == 1


def test_frames_count_together_against_the_limit_of_pixels():
    area = kinds.HEIGHT * kinds.WIDTH
    assert len(read_photo(kinds.animation("PNG"), max_pixels=3 * area).pages) == 3
    with pytest.raises(PhotoError, match="3 frames") as caught:
        read_photo(kinds.animation("PNG"), max_pixels=3 * area - 1)
    assert caught.value.reason == "too-large"


def test_the_first_of_several_pictures_is_said_to_be_that():
    assert read_photo(kinds.mpo()).notes == ("the first of 2 pictures in it",)
    motion = next(kind for kind in KINDS if kind.name == "motion.jpg")
    assert read_photo(motion.data).notes == ("the picture, not the video behind it",)


def test_adobe_rgb_told_by_exif_alone_is_converted_as_adobe_rgb():
    from pcakd.photos.icc import ADOBE_PROFILE

    picture = Image.fromarray(kinds.base())
    by_exif = read_photo(encode(picture, "PNG", exif=kinds.camera_exif(r03=True)))
    by_profile = read_photo(encode(picture, "PNG", icc_profile=ADOBE_PROFILE))
    assert np.abs(by_exif.rgb.astype(int) - by_profile.rgb).max() <= 1
    assert np.abs(by_exif.rgb.astype(int) - kinds.base()).max() > 10


def test_a_grey_picture_of_sixteen_bits_with_a_profile_is_as_its_eight_bit_sibling():
    shallow, deep = (next(k for k in KINDS if k.name == name) for name in ("grey-linear.png", "grey16-linear.png"))
    difference = read_photo(shallow.data).rgb8.astype(int) - read_photo(deep.data).rgb8
    assert np.abs(difference).max() <= 1


def test_png_chunks_that_say_srgb_change_nothing():
    for chunk in ((b"gAMA", b"\0\0\xb1\x8f"), (b"sRGB", b"\0")):
        photo = read_photo(kinds.png_chunks(kinds.base(), chunk))
        assert np.array_equal(photo.rgb, kinds.base())
        assert not photo.profile


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_transparent_value_of_few_bits_is_transparent(bits):
    samples = kinds.grey() >> (8 - bits)
    for value in (0, 2**bits - 1):
        photo = read_photo(grey_png(samples, bits, value))
        assert np.array_equal(photo.rgb[..., 0], samples * (255 // (2**bits - 1)))
        assert np.array_equal(photo.alpha, np.where(samples == value, 0, 255))


def test_the_source_gamut_can_be_kept_and_comes_back():
    data = encode(Image.fromarray(kinds.base()), "PNG", icc_profile=kinds.p3_profile())
    photo = read_photo(data, gamut="source")
    assert photo.profile == kinds.p3_profile()
    assert photo.beyond is not None
    assert np.abs(photo.encoded(8)[0].astype(int) - kinds.base()).max() <= 1
    assert np.abs(photo.rgb8.astype(int) - kinds.through(kinds.p3_profile(), kinds.base())).max() <= 1


def test_a_jpeg_cut_anywhere_before_its_last_block_is_refused():
    data = encode(Image.fromarray(kinds.base()), "JPEG", quality=95)
    for missing in (5, 20, 100, 1000):
        with pytest.raises(PhotoError) as caught:
            read_photo(data[:-missing])
        assert caught.value.reason == "truncated"


def test_decompression_stops_at_what_a_strip_may_hold():
    bomb = zlib.compress(bytes(200_000_000), 9)
    data = kinds.tiff((kinds.base() / 255).astype(np.float32), photometric="rgb")
    from pcakd.photos.plain_tiff import plain_tiff, read_plain
    from pcakd.photos.tags import long, short

    page = plain_tiff(data)
    page.table.update({259: short(8), 273: long(0), 279: long(len(bomb))})
    object.__setattr__(page.reader, "data", bomb)
    colours, _ = read_plain(page)
    assert not colours.any()


def heic(**options) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(kinds.base())).save(buffer, quality=95, **options)
    return buffer.getvalue()


def test_heic_is_read_where_the_extra_is_installed():
    photo = read_photo(heic(exif=kinds.camera_exif()), name="IMG_1.HEIC")
    assert np.abs(photo.rgb.astype(float) - kinds.base()).mean() < 6
    assert photo.metadata.exif.main[0x010F].text() == "Maker"


def test_without_the_extra_heic_is_refused_by_its_name_and_the_extra_is_named(monkeypatch):
    data = heic()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    with pytest.raises(PhotoError, match=r"IMG_1\.HEIC: is HEIC.*pcakd\[heic\]") as caught:
        read_photo(data, name="IMG_1.HEIC")
    assert caught.value.reason == "unsupported"


def test_fewer_bits_than_a_photo_has_are_said():
    import cv2

    samples = kinds.deep()[..., ::-1] >> 6
    _, data = cv2.imencode(".avif", samples, [cv2.IMWRITE_AVIF_QUALITY, 95, cv2.IMWRITE_AVIF_DEPTH, 10])
    photo = read_photo(data.tobytes())
    assert photo.notes == ("8 of its 10 bits a channel, which is what AVIF is read with",)
    assert np.abs(photo.rgb.astype(float) - kinds.base()).mean() < 4
    plain = next(kind for kind in KINDS if kind.name == "plain.avif")
    assert not read_photo(plain.data).notes
    assert not read_photo(heic()).notes
