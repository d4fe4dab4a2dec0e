"""Transparency, depth, frames and grey styles through a stylizer."""

import io

import numpy as np
import pytest
from PIL import Image

from pcakd.errors import UsageError
from pcakd.photos.images import read_photo
from pcakd.photos.shrink import to_longest_side
from pcakd.stylize.frames import MARGIN, STEP, stack, unstack
from pcakd.stylize.grey import is_grey
from pcakd.stylize.stylizer import Stylizer
from tests import kinds
from tests.corpus import encode, photograph

HIDDEN = ((0, 0, 0), (0, 255, 0), (255, 255, 255))


@pytest.fixture(scope="module", params=["vgg", "mobilenet"])
def stylizer(request):
    return Stylizer.load(request.param, device="cpu")


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("options", [{}, {"smoothing": "none"}, {"transform": "ot", "strength": 0.5}, {"depth": "16"}])
def test_colours_that_nobody_sees_do_not_move_what_is_seen(stylizer, hard, options):
    style = stylizer.style(photograph(2))
    results = [stylizer.stylize(kinds.cut_out(hidden, hard=hard), style, **options).photo for hidden in HIDDEN]
    seen = results[0].alpha > 0
    assert 100 < seen.sum() < seen.size
    for other in results[1:]:
        assert np.array_equal(results[0].rgb[seen], other.rgb[seen])
        assert np.array_equal(results[0].alpha, other.alpha)


def test_a_cut_out_is_stylized_by_what_is_seen_of_it(stylizer):
    """Not by what surrounds it: a visible frame of another colour does move it."""
    style = stylizer.style(photograph(2))
    cut = stylizer.stylize(kinds.cut_out((0, 255, 0), hard=True), style)
    seen = np.asarray(cut.getchannel("A")) > 0
    framed = np.asarray(Image.open(io.BytesIO(kinds.cut_out((0, 255, 0), hard=True))))[..., :3]
    whole = np.asarray(stylizer.stylize(framed, style))
    assert np.abs(np.asarray(cut)[..., :3][seen].astype(int) - whole[seen]).max() > 5


def test_a_style_is_what_is_seen_of_its_photo(stylizer):
    styles = [stylizer.style(kinds.cut_out(hidden)) for hidden in HIDDEN]
    for other in styles[1:]:
        for level, expected in zip(other.levels, styles[0].levels, strict=True):
            assert np.array_equal(level.mean, expected.mean)
            assert np.array_equal(level.covariance, expected.covariance)
    opaque = stylizer.style(kinds.base())
    assert not np.allclose(styles[0].levels[3].mean, opaque.levels[3].mean)


def test_a_fully_opaque_alpha_changes_nothing(stylizer):
    style = stylizer.style(photograph(2))
    rgba = np.dstack([kinds.base(), np.full(kinds.base().shape[:2], 255, np.uint8)])
    with_alpha, without = stylizer.stylize(rgba, style), stylizer.stylize(kinds.base(), style)
    assert np.array_equal(np.asarray(with_alpha)[..., :3], np.asarray(without))


@pytest.mark.parametrize("hard", [False, True])
def test_shrinking_keeps_hidden_colours_out_of_the_edges(hard):
    small = [to_longest_side(read_photo(kinds.cut_out(hidden, hard=hard)), 30) for hidden in HIDDEN]
    seen = small[0].alpha > 0
    assert small[0].size == (20, 30)
    for other in small[1:]:
        assert np.array_equal(small[0].rgb[seen], other.rgb[seen])
    deep = to_longest_side(read_photo(kinds.png_chunks(kinds.deep())), 30)
    assert (deep.rgb.dtype, deep.size) == (np.uint16, (20, 30))


def ramp(bits: int) -> np.ndarray:
    top = 2**bits - 1
    line = np.linspace(0.2 * top, 0.8 * top, 2000).round().astype(np.uint16 if bits == 16 else np.uint8)
    return np.repeat(np.repeat(line[None, :, None], 48, 0), 3, 2)


@pytest.mark.parametrize("options", [{}, {"smoothing": "none"}])
def test_a_smooth_ramp_of_sixteen_bits_shows_no_banding(stylizer, options):
    style = stylizer.style(photograph(2))
    deep = stylizer.stylize(ramp(16), style, **options).photo
    assert (deep.rgb.dtype, deep.bits) == (np.uint16, 16)
    shallow = np.asarray(stylizer.stylize(ramp(8), style, **options))
    for channel in range(3):
        fine, coarse = deep.rgb[24, :, channel], shallow[24, :, channel]
        if np.ptp(coarse) > 20:
            assert len(np.unique(fine)) > 5 * len(np.unique(coarse))


def test_a_deep_photo_looks_as_its_eight_bit_sibling(stylizer):
    style = stylizer.style(photograph(2))
    deep = stylizer.stylize(kinds.png_chunks(kinds.base().astype(np.uint16) * 257), style, smoothing="none")
    shallow = stylizer.stylize(kinds.base(), style, smoothing="none")
    assert np.abs(np.asarray(deep).astype(int) - np.asarray(shallow)).max() <= 1


@pytest.mark.parametrize(
    ("depth", "source", "bits"), [("same", 8, 8), ("same", 16, 16), ("8", 16, 8), ("16", 8, 16), ("16", 16, 16)]
)
def test_the_depth_of_the_result_is_as_asked_for(stylizer, depth, source, bits, tmp_path):
    content = kinds.base() if source == 8 else kinds.deep()
    image = stylizer.stylize(content, photograph(2), depth=depth)
    for name in ("out.png", "out.tif"):
        image.save(tmp_path / name)
        assert read_photo(tmp_path / name).bits == bits


def test_a_depth_or_colour_that_does_not_exist_is_refused(stylizer):
    for options in ({"depth": "12"}, {"colour": "p3"}):
        with pytest.raises(UsageError, match=next(iter(options))):
            stylizer.stylize(kinds.base(), photograph(2), **options)


def test_a_wide_gamut_stays_in_the_result_where_that_is_asked_for(stylizer):
    data = encode(Image.fromarray(kinds.base()), "PNG", icc_profile=kinds.p3_profile())
    style = stylizer.style(photograph(2))
    wide, narrow = stylizer.stylize(data, style, colour="source"), stylizer.stylize(data, style)
    assert wide.info["icc_profile"] == kinds.p3_profile() != narrow.info["icc_profile"]
    shown = kinds.through(kinds.p3_profile(), np.asarray(wide))
    inside = (wide.photo.beyond == 0).all(-1)
    error = np.abs(shown[inside].astype(int) - np.asarray(narrow)[inside])
    assert error.mean() < 1
    assert error.max() <= 3  # rounded to 8 bits in P3 and again in sRGB, whose curve is steep where it is dark


def test_all_frames_get_one_look_and_none_sees_the_next(stylizer):
    style = stylizer.style(photograph(2))
    picture, other = kinds.base()[:45, :70], 255 - kinds.base()[:45, :70]
    frames = [Image.fromarray(pixels) for pixels in (picture, other, picture, other)]  # equal neighbours are merged
    data = encode(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=[100, 50, 200, 100], loop=2)
    photo = stylizer.stylize(data, style).photo
    assert [page.size for page in photo.pages] == [(45, 70)] * 4
    assert (photo.timing.durations, photo.timing.loop) == ((100, 50, 200, 100), 2)
    first, second, third, fourth = (page.rgb.astype(int) for page in photo.pages)
    assert np.abs(first - third).max() <= 1
    assert np.abs(second - fourth).max() <= 1
    assert np.abs(first - second).max() > 20


def test_pages_of_different_sizes_and_depths_come_back_as_they_were():
    pages = [read_photo(kinds.base()), read_photo(kinds.deep()[:20, :31]), read_photo(kinds.base()[:1, :1])]
    tall = stack(tuple(pages))
    assert tall.size[0] % STEP == MARGIN % STEP == 0
    again = unstack(tall.rgb, tuple(pages))
    for page, expected in zip(again.pages, pages, strict=True):
        assert np.array_equal(page.rgb8, expected.rgb8)


def test_a_mask_on_several_frames_is_refused(stylizer):
    mask = np.full((8, 8, 3), 255, np.uint8)
    with pytest.raises(UsageError, match="this photo has 3"):
        stylizer.stylize(kinds.animation("PNG"), stylizer.masked_style(photograph(2), mask), content_mask=mask)


def chroma(image: np.ndarray) -> float:
    from skimage.color import rgb2lab

    lab = rgb2lab(image / 255)
    return float(np.hypot(lab[..., 1], lab[..., 2]).mean())


def test_a_grey_style_gives_a_grey_result_under_the_default(stylizer):
    grey = Image.fromarray(kinds.grey())
    for photo in (grey, encode(grey, "JPEG", quality=60), encode(grey.convert("RGB"), "JPEG", quality=60)):
        style = stylizer.style(photo)
        assert is_grey(style)
        for options in ({}, {"transform": "ot"}, {"transform": "adain", "smoothing": "none"}, {"depth": "16"}):
            result = np.asarray(stylizer.stylize(kinds.base(), style, compat="pcakd", **options))
            assert chroma(result) < 2
    half = np.asarray(stylizer.stylize(kinds.base(), style, compat="pcakd", strength=0.5))
    assert chroma(half) > 0.5


def test_under_released_a_grey_style_stays_the_papers(stylizer):
    style = stylizer.style(Image.fromarray(kinds.grey()))
    released = np.asarray(stylizer.stylize(kinds.base(), style, compat="released"))
    assert chroma(released) > 2


def test_a_faint_sepia_is_no_grey(stylizer):
    sepia = np.clip(kinds.three(kinds.grey()).astype(int) + np.array([6, 0, -6]), 0, 255).astype(np.uint8)
    assert not is_grey(stylizer.style(sepia))


def test_the_three_lines_of_the_readme_keep_everything(stylizer, tmp_path):
    content = encode(Image.fromarray(kinds.base()), "JPEG", exif=kinds.camera_exif(), xmp=kinds.rights_xmp())
    (tmp_path / "street.jpg").write_bytes(content)
    stylizer.stylize(tmp_path / "street.jpg", stylizer.style(photograph(2))).save(tmp_path / "street-evening.jpg")
    metadata = read_photo(tmp_path / "street-evening.jpg").metadata
    assert metadata.exif.main[0x010F].text() == "Maker"
    assert "Müller".encode() in metadata.xmp
