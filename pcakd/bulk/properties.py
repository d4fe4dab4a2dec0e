"""What results on S3 have beside their content: taken from their objects, or given by the job."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pcakd.errors import UsageError
from pcakd.storage.properties import SHA256_METADATA, Properties, encryption_request

Keep = Literal["none", "headers", "all"]

MOST_TAGS = 10
METADATA_BYTES = 2048
"""Of names and values together, as S3 allows; the hash that every result carries takes its part."""
_OURS = len(SHA256_METADATA) + 64
_TAG = re.compile(r"[\w\s.:/+@-]{1,128}=[\w\s.:/=+@-]{0,256}")
_CLASS = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ASCII = re.compile(r"[ -~]*")


@dataclass(frozen=True, kw_only=True)
class ResultProperties:
    """What a job says of its results on S3 beside their content: no part of its id, since the content is the same."""

    keep_properties: Keep = "headers"
    """What a result on S3 takes from its object. headers: content type, Cache-Control, Content-Disposition,
    Content-Language, user metadata; all: tags, storage class and encryption, too."""
    storage_class: str = ""
    """Of results, as STANDARD_IA; not given: the bucket's own."""
    sse: str = ""
    """Encryption of all that is written: AES256, aws:kms or aws:kms:KEY; not given: the bucket's own."""
    tags: tuple[str, ...] = ()
    """Tag of results as NAME=VALUE; again for more."""

    def tag_values(self) -> dict[str, str]:
        """Name → value."""
        return dict(tag.split("=", 1) for tag in self.tags)


def check_properties(given: ResultProperties, dest: str) -> None:
    """Raise UsageError for what no destination takes, or this one does not."""
    for tag in given.tags:
        if not _TAG.fullmatch(tag):
            raise UsageError(f"tags has {tag!r}: write NAME=VALUE, of letters, digits, spaces and . : / + @ _ -")
    if len(given.tag_values()) != len(given.tags):
        raise UsageError("tags has a name twice")
    if len(given.tags) > MOST_TAGS:
        raise UsageError(f"tags are {len(given.tags)}: an object has {MOST_TAGS} at most")
    if given.storage_class and not _CLASS.fullmatch(given.storage_class):
        raise UsageError(f"storage_class is {given.storage_class!r}: write one as STANDARD_IA")
    encryption_request(given.sse)
    for name in ("storage_class", "sse", "tags"):
        if getattr(given, name) and not dest.startswith("s3://"):
            raise UsageError(f"{name} is for results on S3, and dest is a folder: leave it out")


def result_properties(
    how: ResultProperties, source: Properties | None, tags: Mapping[str, str], *, same_format: bool
) -> tuple[Properties, list[str]]:
    """(what a result has, what could not be kept, in words).

    source, tags: of the object that it was made of. same_format: whether the result is encoded as that is: a content
    type, and a disposition, which names a file, belong to their format.
    """
    own = how.tag_values()
    if source is None or how.keep_properties == "none":
        return Properties(storage_class=how.storage_class, encryption=how.sse, tags=own), []
    everything = how.keep_properties == "all"
    notes: list[str] = []
    headers = {
        name: value
        for name, value in source.headers.items()
        if name not in ("ContentType", "ContentDisposition")
        or (same_format and (name != "ContentType" or value.startswith("image/")))
    }
    kept = {**(tags if everything else {}), **own}
    if len(kept) > MOST_TAGS:
        notes.append(f"more than {MOST_TAGS} tags: those of its object are not kept")
        kept = own
    return Properties(
        headers=_plain(headers, notes),
        metadata=_that_fits(_plain(source.metadata, notes), notes),
        storage_class=how.storage_class or (source.storage_class if everything else ""),
        encryption=how.sse or (source.encryption if everything else ""),
        tags=kept,
    ), notes


def _plain(values: Mapping[str, str], notes: list[str]) -> dict[str, str]:
    """Those values that a request can say: S3 takes ASCII, and some servers hold more."""
    good = {name: value for name, value in values.items() if _ASCII.fullmatch(name + value)}
    notes += [f"{name!a} is not kept: it is not ASCII" for name in values if name not in good]
    return good


def _that_fits(metadata: Mapping[str, str], notes: list[str]) -> dict[str, str]:
    room, kept = METADATA_BYTES - _OURS, {}
    for name, value in sorted(metadata.items()):
        room -= len(name) + len(value)
        if room < 0:
            notes.append(f"metadata of more than {METADATA_BYTES - _OURS:,} bytes: kept as far as there is room")
            break
        kept[name] = value
    return kept
