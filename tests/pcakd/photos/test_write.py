"""What is written: every kind of photo in every format, opened again by Pillow and by a second reader."""

import io
import struct
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from pcakd.errors import PhotoError, UsageError
from pcakd.photos.colour import SRGB_PROFILE
from pcakd.photos.image import PhotoImage
from pcakd.photos.images import encode_photo, read_photo
from pcakd.photos.photo import Timing
from pcakd.photos.write import DEEP, encode
from tests import kinds
from tests.corpus import encode as pillow_encode
from tests.kinds import Kind
from tests.opened import LOSSY, SUFFIXES, as_read, check_opened, fits

KINDS = kinds.kinds()


@pytest.mark.parametrize("format", SUFFIXES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_in_every_format_opens_anywhere_as_it_looked(kind: Kind, format: str):
    photo = as_read(kind)
    if not fits(kind, format):
        with pytest.raises(PhotoError, match=r"has 3 (frames|pages), and JPEG holds one") as caught:
            encode(photo, format, name=kind.name)
        assert caught.value.reason == "unsupported"
        return
    encoded = encode(photo, format, quality=95, name=kind.name)
    check_opened(kind, encoded.data, format)
    if format in DEEP and kind.bits == 16:
        assert np.array_equal(read_photo(encoded.data).rgb, photo.rgb)
    elif kind.bits == 16:
        assert any("8 bits" in note for note in encoded.notes)


def test_gif_says_what_it_has_no_room_for():
    photo = read_photo(next(kind.data for kind in KINDS if kind.name == "camera.png"))
    assert any("without EXIF" in note for note in encode(photo, "GIF").notes)


def test_a_result_of_a_plain_jpeg_has_the_bytes_that_pillow_writes():
    photo = read_photo(next(kind.data for kind in KINDS if kind.name == "plain.jpg"))
    for quality, subsampling in ((95, 0), (75, 2)):
        expected = pillow_encode(Image.fromarray(photo.rgb), "JPEG", quality=quality, subsampling=subsampling)
        assert encode(photo, "JPEG", quality=quality).data == expected


def test_what_is_too_long_for_jpeg_is_left_out_with_a_word():
    long_text = {0x9286: b"ASCII\0\0\0" + b"c" * 100_000}
    data = pillow_encode(Image.fromarray(kinds.base()), "PNG", exif=kinds.camera_exif(extra=long_text))
    photo = read_photo(data)
    assert len(photo.metadata.exif.photo[0x9286].data) > 100_000
    encoded = encode(photo, "JPEG")
    again = read_photo(encoded.data).metadata.exif
    assert (again.main, 0x9286 in again.photo) == (photo.metadata.exif.main, False)
    assert any("64 kB" in note for note in encoded.notes)
    assert 0x9286 in read_photo(encode(photo, "PNG").data).metadata.exif.photo
    packet = read_photo(pillow_encode(Image.fromarray(kinds.base()), "WEBP", xmp=kinds.rights_xmp(90_000)))
    encoded = encode(packet, "JPEG")
    assert "Müller".encode() in read_photo(encoded.data).metadata.xmp
    assert any("XMP" in note for note in encoded.notes)


@pytest.mark.parametrize(("format", "side"), [("JPEG", 65_501), ("WEBP", 16_384), ("AVIF", 65_537), ("GIF", 65_536)])
def test_sides_that_a_format_has_no_room_for_are_refused_with_limit_and_name(format, side):
    photo = read_photo(np.zeros((1, side, 3), np.uint8))
    with pytest.raises(PhotoError, match=f"strip.png.*{side}×1.* ends at") as caught:
        encode(photo, format, name="strip.png")
    assert caught.value.reason == "unsupported"
    assert read_photo(encode(photo, "PNG").data).size == (1, side)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "AVIF", "GIF"])
def test_an_animation_keeps_its_timing_and_its_frames(format):
    photo = read_photo(kinds.animation("WEBP", lossless=True))
    again = read_photo(encode(photo, format).data)
    assert again.timing.durations == pytest.approx((100.0,) * 3)
    loss = LOSSY.get(format, 0.0) if format != "WEBP" else 0.0
    for frame, expected in zip(again.pages, photo.pages, strict=True):
        assert np.abs(frame.rgb.astype(float) - expected.rgb).mean() <= loss


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF"])
def test_equal_frames_that_follow_each_other_are_shown_as_long_and_that_is_said(format):
    frames = [Image.fromarray(kinds.base()), *kinds.frames()]  # the first twice
    photo = read_photo(pillow_encode(frames[0], "AVIF", save_all=True, append_images=frames[1:], quality=90))
    photo = replace(photo, frames=(replace(photo, frames=(), timing=None), *photo.frames[1:]))
    photo = replace(photo, timing=Timing((100.0, 50.0, 200.0, 80.0)))
    encoded = encode(photo, format)
    again = read_photo(encoded.data).timing
    assert sum(again.durations) == 430
    assert any(f"4 frames as {len(again.durations)}: equal ones" in note for note in encoded.notes)


def test_pages_of_different_sizes_fit_tiff_alone():
    pages = [Image.fromarray(kinds.base()), Image.fromarray(kinds.base()[:20, :30])]
    photo = read_photo(pillow_encode(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    again = read_photo(encode(photo, "TIFF").data)
    assert [page.size for page in again.pages] == [(48, 72), (20, 30)]
    with pytest.raises(PhotoError, match="different sizes"):
        encode(photo, "PNG")


def test_pages_of_a_tiff_keep_each_its_depth():
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for page in (kinds.base(), kinds.deep(), kinds.base()):
            writer.write(page, photometric="rgb")
    photo = read_photo(buffer.getvalue())
    again = read_photo(encode(photo, "TIFF").data)
    assert [page.bits for page in again.pages] == [8, 16, 8]
    assert np.array_equal(again.pages[1].rgb, kinds.deep())
    assert any("8 bits" in note for note in encode(photo, "PNG").notes)


def test_lossless_webp_stays_lossless():
    photo = read_photo(pillow_encode(Image.fromarray(kinds.base()), "WEBP", lossless=True))
    assert b"VP8L" in encode(photo, "WEBP").data[:40]
    assert b"VP8L" not in encode(read_photo(kinds.base()), "WEBP").data[:40]


def test_a_wide_gamut_result_carries_its_own_profile():
    data = pillow_encode(Image.fromarray(kinds.base()), "PNG", icc_profile=kinds.p3_profile())
    for format in ("PNG", "TIFF", "JPEG"):
        image = Image.open(io.BytesIO(encode(read_photo(data, gamut="source"), format).data))
        assert image.info["icc_profile"] == kinds.p3_profile()
        assert np.abs(np.asarray(image).astype(float) - kinds.base()).mean() <= LOSSY.get(format, 0.5)
    assert Image.open(io.BytesIO(encode(read_photo(data), "PNG").data)).info["icc_profile"] != kinds.p3_profile()


class TestPhotoImage:
    """The image that Python code gets."""

    def test_save_writes_what_the_photo_came_with(self, tmp_path):
        kind = next(kind for kind in KINDS if kind.name == "camera.png")
        PhotoImage.of(read_photo(kind.data)).save(tmp_path / "out.tif")
        again = read_photo(tmp_path / "out.tif").metadata
        assert again.exif.main[0x010F].text() == "Maker"
        assert "Müller".encode() in again.xmp

    def test_save_keeps_sixteen_bits_and_frames(self, tmp_path):
        PhotoImage.of(read_photo(kinds.png_chunks(kinds.deep()))).save(tmp_path / "deep.png")
        assert np.array_equal(read_photo(tmp_path / "deep.png").rgb, kinds.deep())
        PhotoImage.of(read_photo(kinds.animation("GIF"))).save(tmp_path / "moving.png")
        assert len(read_photo(tmp_path / "moving.png").pages) == 3

    def test_save_lays_transparency_over_white_in_jpeg(self, tmp_path):
        rgba = np.zeros((8, 8, 4), np.uint8)
        PhotoImage.of(read_photo(rgba)).save(tmp_path / "out.jpg")
        assert Image.open(tmp_path / "out.jpg").getpixel((4, 4)) == (255, 255, 255)

    def test_what_is_done_to_the_image_is_saved(self):
        image = PhotoImage.of(read_photo(kinds.png_chunks(kinds.deep())))
        image.putpixel((3, 3), (1, 2, 3))
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        assert Image.open(buffer).getpixel((3, 3)) == (1, 2, 3)

    def test_pillows_own_way_of_saving_keeps_exif_without_the_thumbnail(self):
        image = PhotoImage.of(read_photo(next(kind.data for kind in KINDS if kind.name == "camera.jpg")))
        again = Image.open(io.BytesIO(pillow_encode(image.copy(), "JPEG", exif=image.info["exif"])))
        assert again.getexif()[0x010F] == "Maker"
        assert not again.getexif().get_ifd(1)

    @pytest.mark.parametrize(
        ("arguments", "options", "word"),
        [
            (("x.xyz",), {}, "x.xyz"),
            ((io.BytesIO(),), {}, "needs a format"),
            (("x.jpg",), {"quality": 0}, "quality"),
            (("x.jpg",), {"progressive": True}, "progressive"),
            (("x.jpg", "BMP"), {}, "BMP"),
        ],
    )
    def test_what_cannot_be_saved_is_refused_by_name(self, arguments, options, word):
        with pytest.raises(UsageError, match=word):
            PhotoImage.of(read_photo(kinds.base())).save(*arguments, **options)


def test_a_plain_pil_image_is_written_with_its_metadata():
    image = Image.open(io.BytesIO(next(kind.data for kind in KINDS if kind.name == "camera.jpg")))
    assert read_photo(encode_photo(image, "TIFF")).metadata.exif.main[0x010F].text() == "Maker"


def test_the_embedded_profile_does_not_tell_when_it_was_made():
    assert struct.unpack(">6H", SRGB_PROFILE[24:36]) == (2026, 1, 1, 0, 0, 0)
    assert ImageCms.getProfileName(ImageCms.ImageCmsProfile(io.BytesIO(SRGB_PROFILE))).strip().startswith("sRGB")
