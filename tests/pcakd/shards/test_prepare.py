import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pcakd.errors import PhotoError
from pcakd.shards.prepare import prepare_photo, shrunk_size
from pcakd.storage import sha256_hex
from tests.corpus import bad_photos, encode, jpeg, odd_photos, photograph
from tests.kinds import animation, cut_out


@settings(suppress_health_check=[HealthCheck.too_slow])  # of the machine, not of the strategy
@given(st.integers(1, 20_000), st.integers(1, 20_000), st.integers(8, 2048))
def test_shrinking_keeps_the_shape_and_never_enlarges(width, height, side):
    new_width, new_height = shrunk_size(width, height, side)
    assert new_width <= width
    assert new_height <= height
    assert min(new_width, new_height) == min(side, width, height)
    assert abs(new_width * height - new_height * width) <= max(width, height)


@pytest.mark.parametrize("sample", odd_photos(), ids=lambda sample: sample.name)
def test_every_kind_of_photo_becomes_an_upright_rgb_jpeg(sample):
    photo = prepare_photo(sample.data, name=sample.name, shortest_side=64)
    image = Image.open(io.BytesIO(photo.image))
    image.load()
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (photo.width, photo.height))
    assert (photo.source_height, photo.source_width) == sample.size
    assert photo.sha256 == sha256_hex(photo.image)
    assert not image.getexif()


@pytest.mark.parametrize("sample", bad_photos(), ids=lambda sample: sample.name)
def test_bad_photos_are_refused_with_their_reason(sample):
    with pytest.raises(PhotoError) as caught:
        prepare_photo(sample.data, name=sample.name, shortest_side=64)
    assert caught.value.reason == sample.reason
    assert sample.name in str(caught.value)


def test_the_same_picture_in_another_file_has_the_same_hash():
    exif = Image.Exif()
    exif[0x010F] = "another camera"
    one, other = jpeg(3), encode(photograph(3), "JPEG", quality=90, exif=exif)
    assert one != other
    hashes = {prepare_photo(data, name="x", shortest_side=64).sha256 for data in (one, other)}
    assert len(hashes) == 1


def test_a_picture_of_which_nothing_is_seen_becomes_white():
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    photo = prepare_photo(encode(image, "PNG"), name="x", shortest_side=32)
    assert min(Image.open(io.BytesIO(photo.image)).getpixel((16, 16))) > 250


def test_colours_that_nobody_sees_take_no_part():
    made = [
        prepare_photo(cut_out(hidden), name="x", shortest_side=24) for hidden in ((0, 0, 0), (0, 255, 0), (255,) * 3)
    ]
    assert len({photo.sha256 for photo in made}) == 1


def test_of_several_frames_the_first_is_taken_and_said_so():
    photo = prepare_photo(animation("GIF"), name="x", shortest_side=24)
    assert photo.notes == ("the first of 3 pictures in it",)


def test_a_picture_too_long_for_jpeg_is_unsupported():
    with pytest.raises(PhotoError) as caught:
        prepare_photo(encode(photograph(0, 1, 66_000), "PNG"), name="x", shortest_side=64)
    assert caught.value.reason == "unsupported"
