import io

import numpy as np
import pytest
import torch
from PIL import Image

from pcakd.errors import UsageError
from pcakd.photos.images import Photo, encode_photo, read_photo
from pcakd.stylize.device import pick_device
from pcakd.stylize.like_authors import resize_like_authors
from pcakd.stylize.options import TRANSFORMS
from pcakd.stylize.stylizer import StylizeOptions, Stylizer
from tests.corpus import photograph
from tests.models import random_checkpoint


@pytest.fixture(scope="module", params=["vgg", "mobilenet"])
def stylizer(request):
    return Stylizer(random_checkpoint(request.param), device="cpu")


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (7, 9), (31, 33), (64, 64), (97, 131)])
def test_the_result_has_exactly_the_contents_size(stylizer, size):
    content = np.asarray(photograph(1, *size))
    result = stylizer.stylize(content, photograph(0))
    assert (result.height, result.width) == size


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("colour", [0, 127, 255])
def test_constant_and_single_pixel_photos_give_finite_pixels(stylizer, transform, colour):
    constant = np.full((40, 50, 3), colour, np.uint8)
    dot = np.full((1, 1, 3), colour, np.uint8)
    photo = np.asarray(photograph(0))
    for content, style in [(photo, constant), (constant, photo), (photo, dot), (dot, photo), (constant, constant)]:
        result = stylizer.transfer(content, style, StylizeOptions(transform=transform))
        assert torch.isfinite(result).all()


def test_strength_zero_gives_back_the_content_through_encoder_and_decoder(stylizer):
    content = np.asarray(photograph(1, 64, 96))
    result = stylizer.transfer(content, photograph(0), StylizeOptions(strength=0.0))
    tensor = torch.from_numpy(content.copy()).permute(2, 0, 1)[None].float() / 255
    torch.testing.assert_close(result, stylizer.student(tensor).clamp(0, 1), atol=1e-5, rtol=0)


def test_more_strength_is_farther_from_the_content_and_nearer_to_the_style(stylizer):
    content, style = photograph(1, 64, 96), stylizer.style(photograph(0))
    results = [stylizer.transfer(content, style, StylizeOptions(strength=s)) for s in (0.0, 0.25, 0.5, 0.75, 1.0)]
    away = [float((r - results[0]).square().mean()) for r in results]
    left = [float((r - results[-1]).square().mean()) for r in results]
    assert away == sorted(away)
    assert left == sorted(left, reverse=True)


def test_balance_goes_from_the_content_through_encoder_and_decoder_to_the_style(stylizer):
    content, style = (np.asarray(photograph(i, 64, 96)) for i in (0, 1))
    held, half, full = (
        stylizer.transfer(content, style, StylizeOptions(transform="lsft", balance=balance))
        for balance in (0.0, 0.5, 1.0)
    )
    plain = stylizer.transfer(content, style, StylizeOptions(strength=0.0))
    assert torch.allclose(held, plain, atol=1e-5)
    assert (half - plain).abs().mean() < (full - plain).abs().mean()


def test_alpha_exif_and_profile_of_the_content_are_kept(stylizer):
    content = photograph(1).convert("RGBA")
    content.putalpha(Image.linear_gradient("L").resize(content.size))
    exif = Image.Exif()
    exif[0x010F] = "camera"
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    buffer = io.BytesIO()
    content.save(buffer, "PNG", exif=exif, icc_profile=profile)
    result = stylizer.stylize(buffer.getvalue(), photograph(0))
    assert np.array_equal(result.getchannel("A"), content.getchannel("A"))
    again = Image.open(io.BytesIO(encode_photo(result, "PNG")))
    assert again.getexif()[0x010F] == "camera"
    assert "icc_profile" in again.info


def test_a_turned_photo_comes_out_upright_and_is_not_turned_again(stylizer):
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    photograph(1, 40, 60).save(buffer, "JPEG", exif=exif)
    result = stylizer.stylize(buffer.getvalue(), photograph(0))
    assert result.size == (40, 60)
    again = read_photo(encode_photo(result, "JPEG"))
    assert again.size == (60, 40)


def test_a_path_an_array_a_pil_image_and_bytes_are_the_same_photo(stylizer, tmp_path):
    image = photograph(1)
    image.save(tmp_path / "content.png")
    style = stylizer.style(photograph(0))
    sources = [tmp_path / "content.png", str(tmp_path / "content.png"), np.asarray(image), image]
    sources.append((tmp_path / "content.png").read_bytes())
    results = [np.asarray(stylizer.stylize(source, style)) for source in sources]
    assert all(np.array_equal(results[0], result) for result in results)


def test_regions_of_one_label_exchange_style(stylizer):
    content = np.asarray(photograph(1, 64, 128)).copy()
    content[:, 64:] = content[:, :64]  # both halves alike: only the mask tells them apart
    style = np.asarray(photograph(0, 64, 128)).copy()
    style[:, :64] //= 4  # a dark half and a bright one
    mask = np.zeros((64, 128, 3), np.uint8)
    mask[:, :64], mask[:, 64:] = (255, 0, 0), (0, 0, 255)
    swapped = np.ascontiguousarray(mask[:, ::-1])
    plain = stylizer.transfer(content, stylizer.masked_style(style, mask), content_mask=mask)
    crossed = stylizer.transfer(content, stylizer.masked_style(style, mask), content_mask=swapped)
    inner = 16  # away from the border between the halves
    left, right = plain[..., : 64 - inner], plain[..., 64 + inner :]
    assert not torch.allclose(left.mean(), right.mean(), atol=1e-3)
    torch.testing.assert_close(crossed[..., : 64 - inner].mean(), right.mean(), atol=2e-2, rtol=0)


def test_masks_that_label_everything_alike_equal_no_masks(stylizer):
    content, style = np.asarray(photograph(1, 64, 96)), np.asarray(photograph(0, 96, 64))
    everything = np.full((10, 10, 3), 200, np.uint8)
    masked = stylizer.transfer(content, stylizer.masked_style(style, everything), content_mask=everything)
    torch.testing.assert_close(masked, stylizer.transfer(content, style), atol=1e-4, rtol=0)


def test_labels_without_a_partner_take_the_whole_styles_statistics(stylizer):
    content, style = np.asarray(photograph(1, 64, 96)), np.asarray(photograph(0, 96, 64))
    red, blue = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    masked = stylizer.transfer(content, stylizer.masked_style(style, red), content_mask=blue)
    torch.testing.assert_close(masked, stylizer.transfer(content, style), atol=1e-5, rtol=0)


def test_masks_without_a_label_in_common_are_refused_in_one_line(stylizer):
    content, style = np.asarray(photograph(1, 64, 96)), np.asarray(photograph(0, 96, 64))
    red, blue = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    with pytest.raises(UsageError, match=r"no label in common.*\(0,0,255\).*\(255,0,0\)"):
        stylizer.stylize(content, stylizer.masked_style(style, red), content_mask=blue)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"transform": "wct"}, "transform"),
        ({"strength": 1.5}, "strength"),
        ({"smoothing": "x"}, "smoothing"),
        ({"transform": "lsft", "balance": -0.1}, "balance"),
        ({"balance": 0.5}, "balance is 0.5: it needs transform lsft"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(changes, field):
    with pytest.raises(UsageError, match=field):
        StylizeOptions(**changes)


def test_cuda_where_there_is_none_is_refused():
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(UsageError, match="--device cpu"):
        pick_device("cuda")


def test_resizing_like_the_authors_cuts_both_sides_to_a_multiple():
    photo = Photo(rgb=np.asarray(photograph(0, 47, 61)).copy())
    assert resize_like_authors(photo, 8).size == (40, 56)
    with pytest.raises(UsageError, match="no multiple of 64"):
        resize_like_authors(photo, 64)
