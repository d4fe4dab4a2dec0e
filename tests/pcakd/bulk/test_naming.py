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
    assert len({output_key(key) for key in ("photo", "photo/", "photo//", "photo/_")}) == 4


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
