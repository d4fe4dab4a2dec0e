"""Source key → output key: the same name wherever that is safe, and never a way out of the destination.

    output_key("album/a.jpg")                                     album/a.jpg
    output_key("a.gif")                                           a.gif.png      (GIF holds 256 colours)
    output_key("photo")                                           photo          (in the format of its content)
    output_key("a.png", format="jpeg")                            a.jpg
    output_key("a.jpg", template="{dir}{stem}.{style}{ext}", style="evening")    a.evening.jpg
    output_key("a.avi", clip=True)                                a.avi.mkv      (.mp4, .mov, .webm, ... stay)
    output_key("../a.jpg")                                        __/a~3f0c5e21b7aa.jpg

A name that cannot be kept (`..`, an empty part, `photo/` with content, a control character, a backslash, `_pcakd/`,
too long) is cleaned, and the hash of what it was stands behind its stem: two such names never become one. Two
ordinary names may become one (`a.png` and `a.jpg` as JPEG): that is found before a job starts.
"""

import hashlib
import re
import unicodedata
from pathlib import PurePosixPath
from string import Formatter
from typing import Literal

from pcakd.bulk.schema import FOLDER
from pcakd.errors import UsageError
from pcakd.photos.write import FORMATS as WRITABLE
from pcakd.storage.local import TEMPORARY
from pcakd.video.options import SUFFIXES as CLIPS

FORMATS = {suffix: format for suffix, format in WRITABLE.items() if format != "GIF"}
"""Suffixes that outputs have. GIF holds 256 colours: what came as GIF becomes PNG, animated where that was."""

OutputFormat = Literal["same", "jpeg", "png", "webp", "tiff", "avif"]
FIELDS = ("key", "dir", "stem", "ext", "style", "version")
TEMPLATE = "{dir}{stem}{ext}"
TEMPLATE_OF_STYLES = "{dir}{stem}.{style}{ext}"

MAX_BYTES = 1000
"""Of an output key in UTF-8, less than S3's 1,024; MAX_PART_BYTES: of each part between slashes, as on local disks."""
MAX_PART_BYTES = 255
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tif", "AVIF": ".avif"}
_TAIL = 13  # "~" and 12 hexadecimal digits


def output_key(
    key: str,
    *,
    template: str = TEMPLATE,
    style: str = "",
    version: str = "",
    format: OutputFormat = "same",
    max_bytes: int = MAX_BYTES,
    former: bool = False,
    clip: bool = False,
) -> str:
    """The output's key for a source key. It depends on the arguments alone; ordinary names stay as they are.

    format "same": the source's suffix where it can be written (JPEG, PNG, WebP, TIFF, AVIF), else ".png" behind it; a
    name without suffix stays without, and the content decides (see `format_of`).
    A result with a suffix of FORMATS is encoded as that says, whatever the template.
    former: as jobs did it that began before content decided: PNG for a name without suffix.
    clip: a video's: its own suffix where such files are written, else ".mkv", which holds everything, behind it.
    """
    whole = key
    if not former:
        key = key.rstrip("/") or key  # an object, though its name is a folder's
    path, slash, name = key.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    if not stem or not re.fullmatch(r"[A-Za-z0-9]{1,8}", suffix):
        stem, dot, suffix = name, "", ""
    if clip:
        ext = dot + suffix if f".{suffix.lower()}" in CLIPS else f"{dot}{suffix}.mkv"
        raw = template.format(key=key, dir=path + slash, stem=stem, ext=ext, style=style, version=version)
        raw = raw if PurePosixPath(raw).suffix.lower() in CLIPS else f"{raw}.mkv"
        return _safe(raw, max_bytes, instead_of="" if whole == key else whole)
    by_content = format == "same" and not suffix and not former
    wanted = _wanted(dot + suffix, format)
    if by_content or FORMATS.get((dot + suffix).lower()) == wanted:
        ext = dot + suffix
    elif format == "same":
        ext = dot + suffix + _SUFFIXES[wanted]
    else:
        ext = _SUFFIXES[wanted]
    raw = template.format(key=key, dir=path + slash, stem=stem, ext=ext, style=style, version=version)
    if raw.endswith("/"):
        raw += "_"
    end = PurePosixPath(raw).suffix.lower()
    if end == ".gif" if by_content else FORMATS.get(end) != wanted:
        raw += _SUFFIXES[wanted]
    return _safe(raw, max_bytes, instead_of="" if whole == key else whole)


def format_of(output: str, content: str) -> str:
    """What an output is encoded as: what its suffix says; without one, what its source's content is.

    content: Pillow's name of that format.
    """
    found = WRITABLE.get(PurePosixPath(output).suffix.lower())
    if found is not None:
        return found
    content = "JPEG" if content == "MPO" else content  # a JPEG with more pictures behind it, as phones write them
    return content if content in FORMATS.values() else "PNG"


def check_template(template: str) -> None:
    """Raise UsageError for a template with anything but the known fields, or with no field that tells objects apart."""
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as error:
        raise UsageError(f"template is {template!r}: {error}; fields are {_field_list()}") from None
    names = [name for _, name, _, _ in parsed if name is not None]
    for _, name, spec, conversion in parsed:
        if name is not None and (name not in FIELDS or spec or conversion):
            raise UsageError(f"template is {template!r}: {{{name}}} is no field; fields are {_field_list()}")
    literal = "".join(text + ("x" if name is not None else "") for text, name, _, _ in parsed)
    if _safe(literal, MAX_BYTES) != literal:
        raise UsageError(f"template is {template!r}: results stay under the destination; leave out /, .. and \\ there")
    if not {"key", "stem"} & set(names):
        raise UsageError(f"template is {template!r}: every result would have one name; use {{stem}} or {{key}}")


def template_fields(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


def _field_list() -> str:
    return ", ".join(f"{{{name}}}" for name in FIELDS)


def _wanted(suffix: str, format: OutputFormat) -> str:
    return FORMATS.get(suffix.lower(), "PNG") if format == "same" else format.upper()


def _safe(raw: str, max_bytes: int, instead_of: str = "") -> str:
    """instead_of: the key, where the name is not quite its own."""
    parts = [_clean(part) for part in raw.split("/")]
    if parts[0].casefold() == FOLDER:
        parts[0] = f"_{parts[0]}"
    clean = "/".join(parts)
    if clean == raw and not instead_of and _fits(parts, clean, max_bytes):
        return raw
    told_apart = f"{raw}\0{instead_of}" if instead_of else raw
    digest = hashlib.sha256(told_apart.encode("utf-8", "surrogatepass")).hexdigest()[: _TAIL - 1]
    suffix = PurePosixPath(parts[-1]).suffix
    suffix = suffix if suffix.lower() in (*WRITABLE, *CLIPS) else ""
    stem = _cut(parts[-1][: len(parts[-1]) - len(suffix)], MAX_PART_BYTES - _TAIL - len(suffix))
    name = f"{stem}~{digest}{suffix}"
    folders: list[str] = []
    room = max_bytes - len(name.encode()) - 1
    for part in parts[:-1]:
        folder = _clean(_cut(part, MAX_PART_BYTES))
        room -= len(folder.encode()) + 1
        if room < 0:
            break
        folders.append(folder)
    return "/".join([*folders, name])


def _fits(parts: list[str], whole: str, max_bytes: int) -> bool:
    return len(whole.encode()) <= max_bytes and all(len(part.encode()) <= MAX_PART_BYTES for part in parts)


def _clean(part: str) -> str:
    part = "".join("_" if _is_odd(character) else character for character in part)
    if not part.strip("."):
        return "_" * max(1, len(part))
    return "_" + part[1:] if part.startswith(TEMPORARY) else part


def _is_odd(character: str) -> bool:
    # Control characters, lone surrogates (file names that are no UTF-8), line and paragraph separators.
    return character == "\\" or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def _cut(text: str, size: int) -> str:
    """The longest beginning of at most `size` bytes in UTF-8."""
    return text.encode()[: max(0, size)].decode("utf-8", "ignore")
