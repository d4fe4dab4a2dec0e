import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from skimage.filters import gaussian

from pcakd.errors import UsageError
from pcakd.evaluation.metrics import ciede2000
from pcakd.luma import REC_601
from pcakd.stylize.look.look import SIDE, small_copy
from pcakd.stylize.options import StylizeOptions
from pcakd.stylize.style import Style
from pcakd.stylize.stylizer import Stylizer
from tests.corpus import photograph
from tests.models import random_checkpoint

CONTENT, STYLE = np.asarray(photograph(1, 150, 200)), np.asarray(photograph(0, 96, 128))


@pytest.fixture(scope="module", params=["vgg", "mobilenet"])
def stylizer(request):
    return Stylizer(random_checkpoint(request.param), device="cpu")


@pytest.fixture(scope="module", params=["vgg", "mobilenet"])
def trained(request):
    return Stylizer.load(request.param, device="cpu")


def test_a_photo_in_its_own_style_stays_itself_within_one_level(trained):
    for photo in (CONTENT, np.asarray(photograph(3, 700, 900))):
        for compat in ("pcakd", "released"):
            result = np.asarray(trained.stylize(photo, photo, render="look", compat=compat))
            assert np.abs(result.astype(int) - photo).max() <= 1


def test_texture_is_hardly_stronger_than_a_full_rendering_has_it(trained):
    """Where decoders make more contrast than the guided filter leaves, a look would show it as harshness and grain."""
    content, style = (np.ascontiguousarray(photo[::2, ::2]) for photo in (data.chelsea(), data.coffee()))
    look, full = (
        texture(np.asarray(trained.stylize(content, style, compat="released", render=render)))
        for render in ("look", "full")
    )
    assert look <= 1.15 * full  # 1.3 of VGG's unfiltered


def texture(rgb: np.ndarray) -> float:
    luma = rgb @ np.array(REC_601)
    return float((luma - gaussian(luma, 4.0)).std())


def test_strength_zero_is_the_photo(stylizer):
    assert np.array_equal(stylizer.stylize(CONTENT, STYLE, strength=0.0), CONTENT)


def test_more_strength_is_farther_from_the_photo(stylizer):
    style = stylizer.style(STYLE)
    results = [np.asarray(stylizer.stylize(CONTENT, style, strength=s)).astype(float) for s in (0.25, 0.5, 0.75, 1.0)]
    away = [float(((result - CONTENT) ** 2).mean()) for result in results]
    assert away == sorted(away)
    assert away[0] < away[-1]


def test_lsft_goes_as_far_from_the_photo_as_its_balance_says(trained):
    results = [
        np.asarray(trained.stylize(CONTENT, STYLE, transform="lsft", balance=b, compat="released", render="look"))
        for b in (0.0, 0.1, 0.3, 0.6)
    ]
    away = [float(ciede2000(result, CONTENT)) for result in results]
    assert away == sorted(away)
    assert np.abs(results[0].astype(int) - CONTENT).max() <= 1
    assert away[1] < away[3] / 2


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (7, 9), (600, 20)])
def test_any_size_comes_out_in_that_size(stylizer, size):
    photo = np.asarray(photograph(2, *size))
    result = stylizer.stylize(photo, STYLE)
    assert (result.height, result.width) == size


def test_grey_and_constant_photos_come_out(stylizer):
    grey = np.repeat(CONTENT[..., 1:2], 3, 2)
    constant = np.full_like(CONTENT, 200)
    for content in (grey, constant):
        for style in (STYLE, grey, constant):
            assert np.asarray(stylizer.stylize(content, style)).shape == content.shape


def test_looks_are_the_default_but_for_the_papers_method_and_unsmoothed_results(stylizer):
    assert stylizer.rendering() == "look"
    assert stylizer.rendering(StylizeOptions(compat="released")) == "full"
    assert stylizer.rendering(StylizeOptions(smoothing="none")) == "full"
    assert stylizer.rendering(StylizeOptions(compat="released", render="look")) == "look"
    look, full = (np.asarray(stylizer.stylize(CONTENT, STYLE, render=render)) for render in ("look", "full"))
    assert np.array_equal(stylizer.stylize(CONTENT, STYLE), look)
    assert not np.array_equal(look, full)


def test_stylizing_is_applying_the_look(stylizer):
    look = stylizer.look(CONTENT, STYLE, strength=0.6)
    assert np.array_equal(look.apply(CONTENT), stylizer.stylize(CONTENT, STYLE, strength=0.6))


def test_a_style_saved_before_there_were_looks_is_used_as_it_is(stylizer, tmp_path):
    new = stylizer.style(STYLE)
    old = Style(new.levels, new.model, new.weight, new.cells)
    old.save(tmp_path / "old.safetensors")
    loaded = Style.load(tmp_path / "old.safetensors")
    assert loaded.small is None
    # The style is smaller than a small copy: its statistics are the same. How its colours are spread it does not know.
    without = replace(new, colours=None)
    assert np.array_equal(stylizer.stylize(CONTENT, loaded), stylizer.stylize(CONTENT, without))


def test_a_style_knows_the_colours_that_looks_take_their_chroma_from(trained):
    without = replace(trained.style(STYLE), colours=None)
    results = [np.asarray(trained.stylize(CONTENT, one, render="look")).astype(int) for one in (STYLE, without)]
    assert np.abs(results[0] - results[1]).max() > 2


def test_a_style_for_looks_alone_is_refused_where_every_pixel_is_stylized(stylizer, tmp_path):
    stylizer.style(STYLE, render="look").save(tmp_path / "look.safetensors")
    style = Style.load(tmp_path / "look.safetensors")
    assert np.array_equal(stylizer.stylize(CONTENT, style), stylizer.stylize(CONTENT, stylizer.style(STYLE)))
    with pytest.raises(UsageError, match="for looks alone"):
        stylizer.stylize(CONTENT, style, render="full")


def test_transparency_and_exif_pass_by(stylizer):
    content = photograph(1).convert("RGBA")
    content.putalpha(Image.linear_gradient("L").resize(content.size))
    exif = Image.Exif()
    exif[0x010F] = "camera"
    buffer = io.BytesIO()
    content.save(buffer, "PNG", exif=exif)
    result = stylizer.stylize(buffer.getvalue(), STYLE)
    assert np.array_equal(result.getchannel("A"), content.getchannel("A"))
    assert result.getexif()[0x010F] == "camera"


def test_a_masks_regions_have_looks_of_their_own_up_to_the_border(stylizer):
    content = np.asarray(photograph(1, 64, 128)).copy()
    content[:, 64:] = content[:, :64]  # both halves alike: only the mask tells them apart
    style = np.asarray(photograph(0, 64, 128)).copy()
    style[:, :64] //= 4
    mask = np.zeros((64, 128, 3), np.uint8)
    mask[:, :64], mask[:, 64:] = (255, 0, 0), (0, 0, 255)
    masked = stylizer.masked_style(style, mask)
    for label, part in (("255,0,0", style[:, :64]), ("0,0,255", style[:, 64:])):
        assert np.allclose(masked.regions[label].colours.mean, part.reshape(-1, 3).mean(0) / 255, atol=1e-5)
    look = stylizer.look(content, masked, content_mask=mask)
    assert set(look.regions) == {"255,0,0", "0,0,255"}
    result = np.asarray(stylizer.stylize(content, masked, content_mask=mask)).astype(int)
    alone = [look.apply(content, mask=None)]
    for label in ("255,0,0", "0,0,255"):
        alone.append(type(look)(look.regions[label]).apply(content).astype(int))
    assert np.abs(result[:, :64] - alone[1][:, :64]).max() <= 1
    assert np.abs(result[:, 64:] - alone[2][:, 64:]).max() <= 1


def test_a_series_has_one_look_whatever_the_place(stylizer):
    photos = [np.asarray(photograph(n, 90 + n, 120 - n)) for n in range(3)]
    look = stylizer.shared_look(photos, STYLE)
    assert not look.knows_place
    part = look.apply(np.ascontiguousarray(photos[0][:40, :50])).astype(int)
    assert np.abs(look.apply(photos[0])[:40, :50] - part).max() <= 1


def test_a_series_in_its_own_style_stays_nearly_itself(trained):
    # Large enough that the seam between the two, which the style lacks, is a small part of level 3.
    photo = np.asarray(photograph(4, 192, 256))
    look = trained.shared_look([photo, photo], photo)
    assert np.abs(look.apply(photo).astype(int) - photo).mean() < 3


def test_a_series_of_nothing_is_refused(stylizer):
    with pytest.raises(UsageError, match="at least one photo"):
        stylizer.shared_look([], STYLE)


def test_the_small_copy_of_sixteen_bits_is_that_of_eight():
    rgb = np.asarray(photograph(0, 700, 900))
    assert torch.equal(small_copy(rgb), small_copy(rgb.astype(np.uint16) * 257))
    assert max(small_copy(rgb).shape[-2:]) == SIDE


def test_the_resolution_of_a_photo_does_not_change_its_look():
    stylizer, large = Stylizer.load("mobilenet", device="cpu"), photograph(0, 1200, 1600)
    half = np.asarray(large.resize((800, 600), Image.Resampling.LANCZOS))
    style = stylizer.style(photograph(1), render="look")
    found = stylizer.stylize(np.asarray(large), style).resize((800, 600), Image.Resampling.LANCZOS)
    assert ciede2000(np.asarray(found), np.asarray(stylizer.stylize(half, style))) < 1.0
    assert ciede2000(half, np.asarray(stylizer.stylize(half, style))) > 5
