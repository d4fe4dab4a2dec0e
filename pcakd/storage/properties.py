"""What an object has beside its content: headers it is served with, metadata, tags, class and encryption; S3 only.

data, info = source.read_with_info("a.jpg")
dest.write("a.jpg", result, info.properties)          # a local folder has no place for them, and takes none
"""

import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from pcakd.errors import UsageError

SHA256_METADATA = "pcakd-sha256"
"""Metadata name under which every object written here carries its content hash."""

HEADERS = ("ContentType", "CacheControl", "ContentDisposition", "ContentLanguage")
"""Headers that an object may be stored with, under boto3's names. Not its encoding: content that is written anew has
none."""


@dataclass(frozen=True, kw_only=True)
class Properties:
    """What one object has beside its content.

    headers:       name of HEADERS → value. metadata: the user's own; not the hash of the content.
    storage_class: "" for the bucket's own. encryption: "AES256", "aws:kms", "aws:kms:KEY", "" for the bucket's own.
    tags:          name → value; not read with the object, see `Storage.tags`.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = ""
    encryption: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


NONE = Properties()


def properties_of(answer: Mapping[str, Any]) -> Properties:
    """What boto3's answer to GET or HEAD says."""
    encryption = answer.get("ServerSideEncryption", "")
    if encryption == "aws:kms" and answer.get("SSEKMSKeyId"):
        encryption = f"aws:kms:{answer['SSEKMSKeyId']}"
    return Properties(
        headers={name: answer[name] for name in HEADERS if answer.get(name)},
        metadata={name: value for name, value in answer.get("Metadata", {}).items() if name != SHA256_METADATA},
        storage_class=answer.get("StorageClass", ""),
        encryption=encryption,
    )


def put_request(
    key: str, head: bytes, digest: str, properties: Properties | None, encryption: str = ""
) -> dict[str, Any]:
    """boto3's arguments that store an object with these properties.

    head: the content's first bytes; digest: SHA-256 of all of it. encryption: where the properties name none.
    """
    given = properties or NONE
    request: dict[str, Any] = {"ContentType": content_type(key, head), **given.headers}
    request["Metadata"] = {**given.metadata, SHA256_METADATA: digest}
    if given.storage_class:
        request["StorageClass"] = given.storage_class
    if given.tags:
        request["Tagging"] = urlencode(given.tags)
    return request | encryption_request(given.encryption or encryption)


def encryption_request(encryption: str) -> dict[str, str]:
    """boto3's arguments of "AES256", "aws:kms", "aws:kms:KEY" or "". Raises UsageError for other words."""
    if not encryption:
        return {}
    if encryption in ("AES256", "aws:kms", "aws:kms:dsse"):
        return {"ServerSideEncryption": encryption}
    kind, _, key = encryption.partition("aws:kms:")
    if not kind and key:
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
    raise UsageError(f"sse is {encryption!r}: write AES256, aws:kms or aws:kms:KEY")


HEAD_BYTES = 12
_HEADS = {
    rb"\xff\xd8\xff": "image/jpeg",
    rb"\x89PNG\r\n": "image/png",
    rb"RIFF....WEBP": "image/webp",
    rb"(II\*\0|MM\0\*)": "image/tiff",
    rb"....ftypavi[fs]": "image/avif",
}
"""What a photo begins with, as a pattern → its media type."""


def content_type(key: str, data: bytes) -> str:
    """What an object is served as: what its name says; where that says nothing, what a photo's first bytes do."""
    if kind := mimetypes.guess_type(key, strict=False)[0]:
        return kind
    found = (kind for head, kind in _HEADS.items() if re.match(head, data[:HEAD_BYTES], re.DOTALL))
    return next(found, "application/octet-stream")
