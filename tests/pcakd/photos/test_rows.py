"""What people expect of files that tools have tripped over: one test a row, from the file to its result.

A row is a kind of file as cameras, phones, scanners, editors and web sites write it. Single sides of many of them are
looked at nearer in test_decode, test_write and test_expectations; manifests are in tests/pcakd/bulk/test_manifest.py.
"""

import csv
import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from pcakd.bulk.manifest import read_manifest_table
from pcakd.errors import PhotoError, UsageError
from pcakd.photos.icc import ADOBE_PROFILE
from pcakd.photos.images import read_photo
from pcakd.photos.photo import Photo
from pcakd.photos.shrink import to_longest_side
from pcakd.photos.write import encode
from pcakd.stylize.stylizer import Stylizer
from tests import kinds
from tests.corpus import encode as pillow_encode
from tests.corpus import photograph
from tests.kinds import Kind
from tests.opened import check_opened, second_reader

PICTURE = Image.fromarray(kinds.base())
KINDS = {kind.name: kind for kind in kinds.kinds()}
REFUSED = {name: (data, reason, word) for name, data, reason, word in kinds.refused()}


@pytest.fixture(scope="module")
def stylizer() -> Stylizer:
    return Stylizer.load("mobilenet", device="cpu")


def stylized(stylizer: Stylizer, data: bytes, **options) -> Photo:
    """A file's result in the style of another photograph."""
    return stylizer.stylize(data, photograph(2), **options).photo


def check_results(*names: str, formats: tuple[str, ...] = ("JPEG", "PNG", "TIFF", "WEBP")) -> None:
    """Results of those kinds, written without a change, open anywhere, as their photos looked."""
    for name in names:
        for format in formats:
            check_opened(KINDS[name], encode(read_photo(KINDS[name].data), format, name=name).data, format)


def named(*prefixes: str) -> list[Kind]:
    return [kind for name, kind in KINDS.items() if name.startswith(prefixes)]


def test_wide_gamut_profiles_are_converted_as_other_programs_do():
    check_results("p3.jpg", "adobe.tif")
    wide = kinds.through(kinds.p3_profile(), kinds.base())
    assert np.abs(read_photo(KINDS["adobe.tif"].data).rgb8.astype(int) - wide).max() <= 1


def test_sixteen_bits_are_kept_where_the_format_has_them_and_the_rest_says_so(stylizer):
    check_results("rgb16.png", "grey16.png", "deflate16.tif", formats=("PNG", "TIFF"))
    photo = stylized(stylizer, KINDS["rgb16.png"].data)
    assert encode(photo, "JPEG").notes == ("8 bits a channel, JPEG has no 16",)
    ramp = np.repeat(np.linspace(20_000, 40_000, 2_000).astype(np.uint16)[None, :, None], 32, 0).repeat(3, 2)
    again = read_photo(encode(stylizer.stylize(ramp, photograph(2)).photo, "PNG").data)
    assert all(len(np.unique(again.rgb[16, :, channel])) > 256 for channel in range(3))


def test_a_transparent_value_of_deep_grey_stays_transparent(stylizer):
    data = KINDS["grey16-transparent.png"].data
    alpha = read_photo(data).alpha
    assert 0 < (alpha == 0).sum() < alpha.size
    for format in ("PNG", "TIFF"):
        assert np.array_equal(read_photo(encode(stylized(stylizer, data), format).data).alpha, alpha)


def test_inks_with_and_without_adobes_marker_show_the_same_picture():
    check_results("cmyk-adobe.jpg", "cmyk.tif", "cmyk16.tif", formats=("JPEG", "TIFF"))
    data = KINDS["cmyk-adobe.jpg"].data
    at = data.index(b"\xff\xee")
    bare = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4]) :]
    assert np.array_equal(read_photo(bare).rgb, read_photo(data).rgb)


@pytest.mark.parametrize(
    ("name", "word"),
    [("mpo.jpg", "the first of 2 pictures in it"), ("motion.jpg", "the picture, not the video behind it")],
)
def test_of_several_pictures_and_of_a_video_behind_one_the_first_is_taken_and_that_is_said(name, word):
    encoded = encode(read_photo(KINDS[name].data), "JPEG")
    assert encoded.notes == (word,)
    assert (Image.open(io.BytesIO(encoded.data)).format, b"ftyp" in encoded.data) == ("JPEG", False)
    check_opened(KINDS[name], encoded.data, "JPEG")


@pytest.mark.parametrize("name", ["moving.gif", "moving.webp", "moving.png", "pages.tif"])
def test_every_frame_and_page_is_stylized_or_the_whole_is_refused_with_the_count(name, stylizer):
    photo = stylized(stylizer, KINDS[name].data)
    assert len(photo.pages) == 3
    for format in ("PNG", "TIFF", "WEBP", "GIF"):
        assert len(read_photo(encode(photo, format).data).pages) == 3
    with pytest.raises(PhotoError, match=rf"{name}: has 3 (frames|pages), and JPEG holds one picture") as caught:
        encode(photo, "JPEG", name=name)
    assert caught.value.reason == "unsupported"


@pytest.mark.parametrize("format", ["PNG", "WEBP", "JPEG"])
def test_metadata_near_or_over_64_kb_never_keeps_a_picture_from_being_written(format):
    long_text = 60_000 if format == "JPEG" else 100_000
    exif = kinds.camera_exif(extra={0x9286: b"ASCII\0\0\0" + b"c" * long_text})
    photo = read_photo(pillow_encode(PICTURE, format, exif=exif))
    encoded = encode(photo, "JPEG")
    assert Image.open(io.BytesIO(encoded.data)).size == PICTURE.size
    assert (0x9286 in read_photo(encoded.data).metadata.exif.photo) == (format == "JPEG")
    assert bool(encoded.notes) == (format != "JPEG")
    assert read_photo(encode(photo, "TIFF").data).metadata.exif.photo[0x9286] == photo.metadata.exif.photo[0x9286]


def test_a_tiffs_profile_and_an_editors_layers_leave_results_that_open_anywhere():
    check_results("adobe.tif", "layers.tif", formats=("JPEG", "TIFF"))
    result = encode(read_photo(KINDS["layers.tif"].data), "TIFF").data
    assert 37724 not in tifffile.TiffFile(io.BytesIO(result)).pages[0].tags
    assert len(result) < 50_000


def test_float_samples_are_0_to_1_and_highlights_are_clipped():
    check_results("float.tif", "float-hdr.tif", "float-rgb.tif")
    assert read_photo(KINDS["float-hdr.tif"].data).rgb.mean() > 0.9 * read_photo(KINDS["float.tif"].data).rgb.mean()


def test_one_bit_grey_palette_and_white_is_zero_tiffs_come_out_right():
    check_results("one-bit.tif", "grey8.tif", "palette.tif", "white-is-zero.tif")


def test_tiffs_in_planes_tiles_strips_other_byte_orders_and_jpeg_come_out_right():
    check_results("planar.tif", "big-endian.tif", "bigtiff.tif", "strips.tif", "jpeg-in.tif", formats=("TIFF", "PNG"))
    tiles = read_photo(kinds.tiff(kinds.base(), photometric="rgb", tile=(32, 32)))
    assert np.array_equal(second_reader(encode(tiles, "TIFF").data, "TIFF"), kinds.base())


@pytest.mark.parametrize("name", ["camera.tif", "camera.png", "camera.jpg"])
def test_a_turned_photo_with_camera_exif_gives_an_upright_tiff_with_exif_and_place(name):
    turned = PICTURE.transpose(Image.Transpose.ROTATE_90)
    stored = pillow_encode(turned, Image.open(io.BytesIO(KINDS[name].data)).format, exif=kinds.camera_exif(6))
    result = encode(read_photo(stored), "TIFF").data
    image = Image.open(io.BytesIO(result))
    assert (image.size, image.getexif().get(0x0112, 1)) == (PICTURE.size, 1)
    found = read_photo(result).metadata.exif
    assert (found.main[0x010F].text(), found.gps[1].text()) == ("Maker", "N")
    check_results(name, formats=("TIFF",))


def test_alpha_of_a_tiff_is_kept(stylizer):
    check_results("rgba.tif", formats=("TIFF", "PNG", "WEBP"))
    photo = stylized(stylizer, KINDS["rgba.tif"].data)
    assert np.array_equal(tifffile.imread(io.BytesIO(encode(photo, "TIFF").data))[..., 3], photo.alpha)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_every_orientation_is_pixel_exact_and_no_exif_contradicts_it(orientation):
    check_results(f"orientation{orientation}.png", f"orientation{orientation}.tif", formats=("PNG", "TIFF"))


def test_xmp_iptc_and_resolution_are_kept_so_that_no_licence_notice_vanishes():
    check_results("xmp-iptc-dpi.jpg", "iptc.jpg", "dpi.tif", "camera.png", formats=("JPEG", "PNG", "TIFF"))
    xmp = read_photo(encode(read_photo(KINDS["iptc.jpg"].data), "PNG").data).metadata.xmp
    assert "Müller &amp; Söhne".encode() in xmp


def test_exif_is_kept_and_an_old_thumbnail_is_not_whichever_way_python_saves():
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif._ifds[1] = {0x0103: 6, 0x0201: 200, 0x0202: 500}
    image = Stylizer.load("mobilenet", device="cpu").stylize(
        pillow_encode(PICTURE, "JPEG", exif=exif.tobytes()), photograph(2)
    )
    ours = io.BytesIO()
    image.save(ours, "JPEG")
    for data in (ours.getvalue(), pillow_encode(image.copy(), "JPEG", exif=image.info["exif"])):
        again = Image.open(io.BytesIO(data)).getexif()
        assert (again[0x010F], again.get_ifd(1)) == ("Maker", {})


def test_adobe_rgb_told_by_exifs_interoperability_alone_is_adobe_rgb():
    told = read_photo(pillow_encode(PICTURE, "JPEG", quality=95, exif=kinds.camera_exif(r03=True)))
    plain = np.asarray(Image.open(io.BytesIO(pillow_encode(PICTURE, "JPEG", quality=95))))
    assert np.abs(told.rgb.astype(int) - kinds.through(ADOBE_PROFILE, plain)).max() <= 1


def test_a_pngs_gamma_alone_is_obeyed_as_browsers_do():
    check_results("gama.png", formats=("PNG", "JPEG"))


def test_deep_grey_with_a_linear_profile_is_as_its_eight_bit_sibling():
    deep, shallow = (read_photo(KINDS[name].data) for name in ("grey16-linear.png", "grey-linear.png"))
    assert np.abs(deep.rgb8.astype(int) - shallow.rgb8).max() <= 2
    check_results("grey16-linear.png", "grey-linear.png", formats=("PNG", "TIFF"))


@pytest.mark.parametrize("hard", [False, True], ids=["soft edge", "hard edge"])
def test_colours_hidden_under_a_cut_out_move_nothing_that_is_seen(hard, stylizer):
    hidden = [kinds.cut_out(colour, hard=hard) for colour in ((0, 0, 0), (0, 255, 0), (255, 255, 255))]
    first, *others = (stylized(stylizer, data) for data in hidden)
    seen = first.alpha > 0
    assert all(np.array_equal(first.rgb[seen], other.rgb[seen]) for other in others)


def test_shrinking_a_cut_out_keeps_its_edge_whatever_is_hidden():
    hidden = [kinds.cut_out(colour, hard=True) for colour in ((0, 0, 0), (0, 255, 0), (255, 255, 255))]
    first, *others = (to_longest_side(read_photo(data), 30) for data in hidden)
    seen = first.alpha > 0
    assert all(np.array_equal(first.rgb[seen], other.rgb[seen]) for other in others)


def test_a_black_and_white_style_gives_a_grey_result_and_a_grey_photo_takes_colour(stylizer):
    grey = pillow_encode(Image.fromarray(kinds.grey()), "JPEG", quality=90)
    result = np.asarray(stylizer.stylize(kinds.base(), stylizer.style(grey))).astype(int)
    assert np.ptp(result, axis=-1).max() <= 2
    assert np.ptp(np.asarray(stylizer.stylize(grey, photograph(2))).astype(int), axis=-1).mean() > 5


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (500, 1), (5, 700), (61, 43)], ids=str)
@pytest.mark.parametrize("filled", [None, (0, 0, 0), (255, 255, 255), (255, 0, 0)], ids=["photo", "0", "1", "red"])
def test_any_size_and_flat_colours_come_out_exactly_as_large(size, filled, stylizer):
    source = PICTURE.resize(size) if filled is None else Image.new("RGB", size, filled)
    result = encode(stylized(stylizer, pillow_encode(source, "PNG")), "PNG").data
    assert Image.open(io.BytesIO(result)).size == size


@pytest.mark.parametrize("name", ["plain.avif", "plain.jp2"])
def test_avif_and_jpeg_2000_are_read(name):
    check_results(name, formats=("PNG", "JPEG", "AVIF"))


@pytest.mark.parametrize(
    ("name", "format"), [("photo.jxl", "JPEG XL"), ("photo.heic", "HEIC"), ("heic-named.jpg", "HEIC")]
)
def test_what_phones_write_and_is_not_read_is_unsupported_by_its_formats_name(name, format):
    with pytest.raises(PhotoError, match=rf"{name}: is {format}") as caught:
        read_photo(REFUSED[name][0], name=name)
    assert caught.value.reason == "unsupported"


@pytest.mark.parametrize("name", ["photo.dng", "photo.nef"])
def test_a_raw_file_is_unsupported_and_never_its_preview(name):
    data, reason, word = REFUSED[name]
    assert Image.open(io.BytesIO(data)).size == (18, 12)  # what a reader that trusts the first table takes
    with pytest.raises(PhotoError, match=word) as caught:
        read_photo(data, name=name)
    assert caught.value.reason == reason == "unsupported"


@pytest.mark.parametrize(("width", "format", "limit"), [(17_000, "WEBP", "16,383"), (66_000, "JPEG", "65,500")])
def test_what_is_longer_than_a_format_allows_is_one_line_with_limit_and_name(width, format, limit):
    photo = read_photo(pillow_encode(Image.new("RGB", (width, 4)), "PNG"))
    with pytest.raises(PhotoError, match=rf"wide\.png: has {width}×4 pixels, and \w+ ends at {limit}") as caught:
        encode(photo, format, name="wide.png")
    assert caught.value.reason == "unsupported"


def test_lossless_webp_is_lossless_again():
    check_results("lossless.webp", formats=("WEBP",))
    assert b"VP8L" in encode(read_photo(KINDS["lossless.webp"].data), "WEBP").data[:40]


def test_a_jpeg_cut_at_two_fifths_is_refused_and_one_that_lacks_its_end_marker_is_read():
    with pytest.raises(PhotoError) as caught:
        read_photo(REFUSED["cut.jpg"][0], name="cut.jpg")
    assert caught.value.reason == "truncated"
    check_results("no-end.jpg", formats=("JPEG",))


def test_masks_mean_by_palette_and_transparency_and_say_what_is_wrong(stylizer):
    regions = np.zeros((48, 72), np.uint8)
    regions[:, :30], regions[:, 40:] = 1, 2
    palette = Image.fromarray(regions, "P")
    palette.putpalette([9, 9, 9, 255, 0, 0, 0, 0, 255])
    clear = Image.fromarray(np.dstack([np.array(palette.convert("RGB")), np.where(regions, 255, 0).astype(np.uint8)]))
    style = stylizer.masked_style(photograph(2), np.asarray(palette.convert("RGB")))
    results = [
        np.asarray(stylizer.stylize(kinds.base(), style, content_mask=pillow_encode(mask, "PNG")))
        for mask in (palette, clear)
    ]
    assert np.array_equal(*results)
    other = Image.new("RGB", (8, 8), (0, 255, 0))
    with pytest.raises(UsageError, match="no label in common"):
        stylizer.stylize(kinds.base(), style, content_mask=pillow_encode(other, "PNG"))
    noisy = pillow_encode(palette.convert("RGB"), "JPEG", quality=70)
    with pytest.raises(UsageError, match=r"^mask: .*save the mask as PNG"):
        stylizer.stylize(kinds.base(), style, content_mask=noisy)


def test_tables_as_spreadsheets_and_pandas_write_them_are_understood_or_refused_by_name(tmp_path):
    import pandas

    frame = pandas.DataFrame({"key": ["a b.jpg", "x,y.jpg"], "strength": [0.5, float("nan")]})
    expected = [("a b.jpg", 0.5), ("x,y.jpg", None)]
    frame.to_csv(tmp_path / "pandas.csv")
    frame.to_csv(tmp_path / "excel.csv", sep=";", decimal=",", encoding="utf-8-sig", lineterminator="\r\n", index=False)
    frame.to_csv(tmp_path / "utf16.csv", encoding="utf-16", index=False, quoting=csv.QUOTE_ALL)
    frame[frame.key != ""].sort_values("key").to_parquet(tmp_path / "pandas.parquet")
    frame.set_index("key").to_parquet(tmp_path / "keys.parquet")
    for path in sorted(tmp_path.iterdir()):
        rows = read_manifest_table(str(path), ()).rows()
        assert [(row.key, row.strength) for row in rows] == expected, path.name
    (tmp_path / "latin.csv").write_bytes("key\nMüller.jpg\n".encode("latin-1"))
    with pytest.raises(UsageError, match=r"latin\.csv: is not a CSV file in UTF-8 \(byte 5\); save it as CSV UTF-8"):
        read_manifest_table(str(tmp_path / "latin.csv"), ())
