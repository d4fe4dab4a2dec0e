import io
import pickle

import numpy as np
import pytest
from PIL import Image, ImageCms

from pcakd.errors import PhotoError, UsageError
from pcakd.photos.images import encode_photo, format_for, read_photo, to_image
from tests.corpus import bad_photos, encode, odd_photos, photograph


@pytest.mark.parametrize("sample", odd_photos(), ids=lambda s: s.name)
def test_photos_of_every_kind_are_read_upright_as_8_bit_rgb(sample):
    photo = read_photo(sample.data, name=sample.name)
    assert photo.rgb8.dtype == np.uint8
    assert photo.rgb.shape == (*sample.size, 3)
    assert photo.alpha is None or photo.alpha.shape == sample.size


@pytest.mark.parametrize("sample", bad_photos(), ids=lambda s: s.name)
def test_damaged_photos_are_refused_in_one_line_that_names_them(sample):
    with pytest.raises(PhotoError) as caught:
        read_photo(sample.data, name=sample.name)
    assert caught.value.reason == sample.reason
    assert sample.name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).reason == sample.reason


def test_sixteen_bits_stay_and_as_eight_are_scaled_not_cut():
    grey = np.asarray(photograph(0).convert("L"))
    photo = read_photo(encode(Image.fromarray(grey.astype(np.uint16) * 257), "PNG"))
    assert photo.rgb.dtype == np.uint16
    assert np.array_equal(photo.rgb8[..., 0], grey)


def test_a_wide_gamut_profile_is_converted_to_srgb():
    flat = Image.new("RGB", (4, 4), (100, 150, 200))
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ"))
    plain = read_photo(encode(flat, "PNG"))
    assert not plain.profile
    data = encode(flat, "PNG", icc_profile=lab.tobytes())
    photo = read_photo(data)
    assert photo.profile
    ignored = read_photo(data, convert_profile=False)
    assert np.array_equal(ignored.rgb, plain.rgb)


def test_the_pixel_limit_can_be_set_by_option_and_environment(monkeypatch):
    data = encode(photograph(0, 20, 30), "PNG")
    with pytest.raises(PhotoError, match="30×20 pixels, over the limit of 599"):
        read_photo(data, max_pixels=599)
    monkeypatch.setenv("PCAKD_MAX_PIXELS", "600")
    assert read_photo(data).size == (20, 30)
    monkeypatch.setenv("PCAKD_MAX_PIXELS", "many")
    with pytest.raises(UsageError, match="PCAKD_MAX_PIXELS"):
        read_photo(data)


def test_photos_above_pillows_own_limit_and_below_ours_are_read(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_photo(encode(photograph(0, 20, 30), "PNG")).size == (20, 30)


@pytest.mark.parametrize("array", [np.zeros((2, 3)), np.zeros((2, 3, 2), np.uint8), np.zeros((0, 3, 3), np.uint8)])
def test_arrays_that_are_no_photo_are_refused(array):
    with pytest.raises(UsageError, match="photo array"):
        read_photo(array)


def test_missing_files_and_folders_are_named(tmp_path):
    for path in (tmp_path / "none.jpg", tmp_path):
        with pytest.raises(PhotoError, match=path.name) as caught:
            read_photo(path)
        assert caught.value.reason == "missing"


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_transparency_survives_encoding(format):
    rgb, alpha = np.asarray(photograph(0)), np.asarray(Image.linear_gradient("L").resize((128, 96)))
    again = read_photo(encode_photo(to_image(rgb, alpha), format))
    assert np.array_equal(again.alpha, alpha)


def test_jpeg_lays_transparent_pictures_over_white():
    rgb = np.zeros((8, 8, 3), np.uint8)
    data = encode_photo(to_image(rgb, np.zeros((8, 8), np.uint8)), "JPEG")
    assert Image.open(io.BytesIO(data)).getpixel((4, 4)) == (255, 255, 255)


def test_a_suffix_that_cannot_be_written_is_refused_with_the_choices():
    with pytest.raises(UsageError, match=r"\.jpg, \.jpeg, \.png"):
        format_for("picture.xyz")
