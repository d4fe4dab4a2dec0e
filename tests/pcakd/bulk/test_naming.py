import re
from pathlib import PurePosixPath
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pcakd.bulk.naming import (
    FORMATS,
    MAX_BYTES,
    MAX_PART_BYTES,
    TEMPLATE,
    TEMPLATE_OF_STYLES,
    OutputFormat,
    check_template,
    format_of,
    output_key,
    template_fields,
)
from pcakd.errors import UsageError
from pcakd.storage import LocalStorage

ODD = st.sampled_from(
    [
        *("..", ".", "/", "//", "\\", "_pcakd", "_PCAKD", "\0", "\n", "\x85", "\u2028", "\u202e", "\udcff", "\u5199"),
        *("\u00e9", "e\u0301", "~", "a", "A", " ", "%", ".jpg", ".PNG", ".gif", ".pcakd-tmp-", "{key}", "x" * 200),
    ]
)
KEYS = st.one_of(
    st.lists(ODD, min_size=1, max_size=12).map("".join),
    st.text(st.characters(), min_size=1, max_size=400),
    st.lists(st.text("ab/. ", min_size=1), min_size=1, max_size=6).map("/".join),
)
ORDINARY = st.lists(
    st.text("abcXYZ019 -_+()é写'&%~", min_size=1, max_size=20).filter(lambda part: not part.startswith("_pcakd")),
    min_size=1,
    max_size=5,
).map("/".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return LocalStorage(tmp_path_factory.mktemp("dest"))


@given(
    KEYS,
    st.sampled_from([TEMPLATE, TEMPLATE_OF_STYLES, "{key}", "by/{style}/{key}"]),
    st.sampled_from(get_args(OutputFormat)),
)
@example("_pcakd/1/spec.json", "{key}", "same")
@example("../" * 300 + "etc/passwd", TEMPLATE, "png")
def test_no_key_escapes_the_destination_or_its_limits(folder, key, template, format):
    output = output_key(key, template=template, style="evening", format=format)
    parts = output.split("/")
    assert not {"", ".", ".."} & set(parts)
    assert parts[0].casefold() != "_pcakd"
    assert "\\" not in output
    assert output.isprintable() or not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in output)
    assert len(output.encode()) <= MAX_BYTES
    assert max(len(part.encode()) for part in parts) <= MAX_PART_BYTES
    assert str(folder._path(output)).startswith(f"{folder.root}/")
    assert output == output_key(key, template=template, style="evening", format=format)
    assert format == "same" or FORMATS[PurePosixPath(output).suffix.lower()].lower() == format


@given(st.sets(KEYS, min_size=2, max_size=8), st.sampled_from(["{key}", "by/{style}/{key}"]))
@example({"../a.jpg", "__/a.jpg", "/a.jpg", "_/a.jpg"}, "{key}")
@example({"a\\b.jpg", "a_b.jpg"}, "{key}")
@example({"\u00e9.jpg", "e\u0301.jpg"}, "{key}")
@example({"A.jpg", "a.jpg"}, "{key}")
@example({"x" * 2000 + "1.jpg", "x" * 2000 + "2.jpg"}, "{key}")
def test_different_keys_of_one_kind_have_different_outputs(keys, template):
    photos = {f"{key}.jpg" for key in keys}
    assert len({output_key(key, template=template, style="s") for key in photos}) == len(photos)


@given(ORDINARY, st.sampled_from(sorted(FORMATS)))
def test_ordinary_names_are_kept(key, suffix):
    assert output_key(f"{key}{suffix}") == f"{key}{suffix}"
    assert output_key(f"{key}{suffix.upper()}") == f"{key}{suffix.upper()}"


@pytest.mark.parametrize(
    ("key", "options", "output"),
    [
        ("a/b.gif", {}, "a/b.gif.png"),
        ("a/b", {}, "a/b"),
        ("a/b", {"former": True}, "a/b.png"),
        ("a/b", {"format": "png"}, "a/b.png"),
        ("a/b", {"template": TEMPLATE_OF_STYLES, "style": "evening"}, "a/b.evening"),
        ("a", {"template": TEMPLATE_OF_STYLES, "style": "b.gif"}, "a.b.gif.png"),
        ("a.b/c", {}, "a.b/c"),
        (".jpg", {}, ".jpg"),
        ("photo/", {"former": True}, "photo/.png.png"),
        ("a.png", {"format": "jpeg"}, "a.jpg"),
        ("a.jpeg", {"format": "jpeg"}, "a.jpeg"),
        ("a.jpg", {"format": "webp"}, "a.webp"),
        ("a.png", {"format": "jpeg", "template": "{key}"}, "a.png.jpg"),
        ("d/a.jpg", {"template": TEMPLATE_OF_STYLES, "style": "evening"}, "d/a.evening.jpg"),
        ("d/a.jpg", {"template": "{style}/{key}", "style": "evening"}, "evening/d/a.jpg"),
        ("d/a.jpg", {"template": "flat-{stem}{ext}"}, "flat-a.jpg"),
        ("d/a.jpg", {"template": "v{version}/{key}", "version": "7"}, "v7/d/a.jpg"),
        ("a.{key}.jpg", {}, "a.{key}.jpg"),
        ("a.jpg", {"template": "{stem}{style}{version}{ext}"}, "a.jpg"),
        ("a.jpg", {"format": "png"}, "a.png"),
        ("a.jpg", {"format": "tiff"}, "a.tif"),
        ("a.jpg", {"format": "avif"}, "a.avif"),
        ("X/a.jpg", {}, "X/a.jpg"),
    ],
)
def test_names_follow_the_template_and_the_format(key, options, output):
    assert output_key(key, **options) == output


def test_an_object_with_a_folders_name_becomes_a_file_beside_the_folder_neither_hidden_nor_anothers():
    assert re.fullmatch(r"a/photo~\w{12}", output_key("a/photo/"))
    assert re.fullmatch(r"a/photo~\w{12}\.jpg", output_key("a/photo.jpg/"))
    assert re.fullmatch(
        r"a/photo\.evening~\w{12}", output_key("a/photo/", template=TEMPLATE_OF_STYLES, style="evening")
    )
    assert re.fullmatch(r"boX~\w{12}", output_key("boX/"))
    assert len({output_key(key) for key in ("photo", "photo/", "photo//", "photo/_")}) == 4


def test_as_long_as_can_be_is_kept_and_one_byte_more_is_not():
    part, whole = "x" * (MAX_PART_BYTES - 4) + ".jpg", f"{'d/' * (MAX_BYTES // 2 - 3)}ab.jpg"
    assert (len(part), len(whole)) == (MAX_PART_BYTES, MAX_BYTES)
    for key in (part, whole):
        assert output_key(key) == key
        longer = output_key(f"x{key}")
        assert longer != f"x{key}"
        assert len(longer) <= len(key)


def test_a_long_name_is_cut_between_characters():
    name = output_key(f"x{'é' * 200}.jpg")
    assert re.fullmatch(r"xé{118}~\w{12}\.jpg", name)


@pytest.mark.parametrize("odd", ["\0", "\n", "\x85", "\u2028", "\u2029", "\udcff", "\\"])
def test_what_no_line_should_hold_becomes_a_dash_below(odd):
    assert re.fullmatch(r"a_b~\w{12}\.jpg", output_key(f"a{odd}b.jpg"))


def test_of_folders_that_do_not_fit_the_first_ones_stay():
    """The name has 19 bytes with its mark, each folder 2 and a slash; one byte is spare."""
    kept = {room: output_key("aa/bb/cc/x\n.jpg", max_bytes=room).rpartition("/")[0] for room in range(19, 31)}
    assert [kept[room] for room in (22, 23, 25, 26, 28, 29)] == ["", "aa", "aa", "aa/bb", "aa/bb", "aa/bb/cc"]


def test_a_suffix_decides_on_the_format_and_without_one_the_content():
    assert [format_of("a.webp", "JPEG"), format_of("a", "JPEG"), format_of("a.evening", "MPO")] == [
        "WEBP",
        "JPEG",
        "JPEG",
    ]
    assert [format_of("a", "GIF"), format_of("a", "HEIF"), format_of("a", "AVIF")] == ["PNG", "PNG", "AVIF"]


def test_a_name_that_cannot_be_kept_is_cleaned_and_marked():
    assert output_key("../a.jpg").startswith("__/a~")
    assert output_key("../a.jpg").endswith(".jpg")
    assert output_key("../a.jpg") != output_key("/a.jpg")


@pytest.mark.parametrize(
    ("template", "fields"),
    [
        (TEMPLATE, {"dir", "stem", "ext"}),
        (TEMPLATE_OF_STYLES, {"dir", "stem", "style", "ext"}),
        ("{key}", {"key"}),
        ("flat-{stem}.jpg", {"stem"}),
        ("v{version}/{style}/{key}{{}}", {"version", "style", "key"}),
    ],
)
def test_a_template_of_known_fields_that_tells_objects_apart_is_taken(template, fields):
    check_template(template)
    assert template_fields(template) == fields


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{name}", "{name} is no field; fields are {key}, {dir}"),
        ("{stem", "expected '}'"),
        ("{stem:>3}", "is no field"),
        ("{}", "{} is no field"),
        ("{style}{ext}", "every result would have one name"),
        ("../{key}", "stay under the destination"),
        ("/{key}", "stay under the destination"),
        ("_pcakd/{key}", "stay under the destination"),
    ],
)
def test_a_template_that_cannot_be_is_refused_in_one_line(template, says):
    with pytest.raises(UsageError) as caught:
        check_template(template)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "options", "output"),
    [
        ("a/b.MP4", {}, "a/b.MP4"),
        ("a.avi", {}, "a.avi.mkv"),
        ("a.webm", {"format": "jpeg"}, "a.webm"),
        ("a.mov", {"template": "{stem}.{style}{ext}", "style": "evening"}, "a.evening.mov"),
        ("a.mpg", {"template": "{key}"}, "a.mpg.mkv"),
        ("a.mov", {"template": "{stem}.webm"}, "a.webm"),
        ("a.mov", {"template": "{stem}.jpg"}, "a.jpg.mkv"),
    ],
)
def test_clips_keep_suffixes_that_are_written_and_others_become_matroska(key, options, output):
    assert output_key(key, clip=True, **options) == output


def test_a_clips_name_that_cannot_be_kept_keeps_its_suffix():
    assert output_key("../a.mp4", clip=True).endswith(".mp4")
    assert output_key("b" * 300 + ".avi", clip=True).endswith(".mkv")
