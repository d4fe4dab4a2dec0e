"""An S3 prefix as storage: any S3-compatible server, through boto3.

Endpoint: PCAKD_S3_ENDPOINT_URL, else the standard AWS_ENDPOINT_URL_S3 / AWS_ENDPOINT_URL, else AWS.
Credentials and region: the standard AWS_* variables and files, looked up where the calls are made;
they are in no attribute, message or pickle of this module.
"""

import base64
import hashlib
import io
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from typing import IO, Any, TypeVar

from botocore.exceptions import ClientError

from pcakd.errors import FatalError, UsageError
from pcakd.storage.base import ObjectInfo, Storage, sha256_hex, shown
from pcakd.storage.properties import (
    HEAD_BYTES,
    SHA256_METADATA,
    Properties,
    encryption_request,
    properties_of,
    put_request,
)
from pcakd.storage.retry import DEFAULT_POLICY, RetryPolicy, call_with_retry
from pcakd.storage.s3_client import (
    CONFLICT,
    MISSING,
    client_for,
    code_of,
    describe,
    endpoint_from_environment,
    request_payer_from_environment,
    translated,
)
from pcakd.storage.s3_client import may_pass as passing

T = TypeVar("T")
Parts = list[dict[str, Any]]  # the class below has a method of the name `list`

SINGLE_PUT_BYTES = 64 << 20
"""Objects up to this size are one PUT; larger ones a multipart upload."""

PART_BYTES = 32 << 20


class S3Storage(Storage):
    """Objects under `s3://bucket/prefix/`. Keys are any text that S3 takes, ".." and spaces included."""

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint: str | None = None,
        policy: RetryPolicy = DEFAULT_POLICY,
        encryption: str = "",
    ) -> None:
        """encryption: of all that is written, as `Properties` has it. Raises UsageError."""
        encryption_request(encryption)
        self.bucket, self.encryption = bucket, encryption
        self.prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self.endpoint = endpoint if endpoint is not None else endpoint_from_environment()
        self.policy = policy
        self.request_payer = request_payer_from_environment()

    def __repr__(self) -> str:
        return f"S3Storage({self.uri()!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, S3Storage) and (other.bucket, other.prefix, other.endpoint) == (
            self.bucket,
            self.prefix,
            self.endpoint,
        )

    def __hash__(self) -> int:
        return hash((self.bucket, self.prefix, self.endpoint))

    @property
    def _client(self) -> Any:
        return client_for(self.endpoint, self.request_payer)

    def uri(self, key: str = "") -> str:
        return (
            f"s3://{self.bucket}/{self.prefix}{key}".rstrip("/") if not key else f"s3://{self.bucket}/{self._key(key)}"
        )

    def sub(self, prefix: str) -> "S3Storage":
        return self._at(self.prefix + prefix, self.encryption)

    def encrypted(self, encryption: str) -> "S3Storage":
        """The same place, where all that is written is encrypted so; see `Properties`. Raises UsageError."""
        return self._at(self.prefix, encryption)

    def _at(self, prefix: str, encryption: str) -> "S3Storage":
        return S3Storage(self.bucket, prefix, endpoint=self.endpoint, policy=self.policy, encryption=encryption)

    def check(self) -> None:
        self._call(
            lambda: self._client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1), "list", self.uri()
        )

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for page in self._pages(Prefix=self.prefix + prefix):
            for entry in page.get("Contents", ()):
                key = entry["Key"][len(self.prefix) :]
                if key:  # the empty key is the root folder's own marker
                    yield ObjectInfo(
                        key=key,
                        size=entry["Size"],
                        etag=entry["ETag"].strip('"'),
                        mtime=entry["LastModified"].timestamp(),
                    )

    def folders(self, prefix: str = "") -> tuple[str, ...]:
        start = self.prefix + prefix
        pages = self._pages(Prefix=start, Delimiter="/")
        return tuple(entry["Prefix"][len(start) : -1] for page in pages for entry in page.get("CommonPrefixes", ()))

    def _pages(self, **request: str) -> Iterator[dict]:
        # Not boto3's paginator: a page that fails half-way must be asked for again by itself.
        request["Bucket"] = self.bucket
        while True:
            page = self._call(partial(self._page, request), "list", self.uri())
            yield page
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def _page(self, request: dict) -> dict:
        page = self._client.list_objects_v2(**request)
        if "IsTruncated" not in page:
            # An answer cut in its head has no body, which reads as an empty listing.
            raise _DamagedError("no whole listing")
        return page

    def head(self, key: str) -> ObjectInfo | None:
        entry = self._head(key)
        return None if entry is None else _info(key, entry)

    def _head(self, key: str) -> dict | None:
        def head() -> dict | None:
            try:
                return _whole(self._client.head_object(Bucket=self.bucket, Key=self._key(key)))
            except ClientError as error:
                # A HEAD has no body: the server's "404" does not tell a missing key from a missing bucket.
                if code_of(error) in MISSING | {"404"}:
                    return None
                raise

        return self._call(head, "read", self.uri(key))

    def read_with_info(self, key: str) -> tuple[bytes, ObjectInfo]:
        seen: set[str] = set()

        def get() -> tuple[bytes, ObjectInfo]:
            answer = self._client.get_object(Bucket=self.bucket, Key=self._key(key))
            data = _body(answer)
            self._check(key, data, answer, seen)
            return data, _info(key, answer)

        return self._call(get, "read", self.uri(key))

    def _check(self, key: str, data: bytes, answer: dict, seen: set[str]) -> None:
        """Hold the bytes against the hash that the writer left, or against an ETag that is an MD5."""
        expected = answer.get("Metadata", {}).get(SHA256_METADATA)
        actual = sha256_hex(data)
        if expected is None:
            etag = answer["ETag"].strip('"').lower()
            if len(etag) != 32 or etag == hashlib.md5(data, usedforsecurity=False).hexdigest():
                return
            # Encrypting and compressing servers have ETags of other kinds: the same bytes twice
            # running are what is stored, not what a network did to them.
            if actual in seen:
                return
        elif actual == expected:
            return
        elif actual in seen:
            raise FatalError(f"{self.uri(key)}: is not what was written there (SHA-256 differs); write it anew")
        seen.add(actual)
        raise _DamagedError("checksum differs")

    def read_range(self, key: str, start: int, length: int) -> bytes:
        if length <= 0:
            return b""

        def get() -> bytes:
            try:
                answer = self._client.get_object(
                    Bucket=self.bucket, Key=self._key(key), Range=f"bytes={start}-{start + length - 1}"
                )
            except ClientError as error:
                if code_of(error) in ("InvalidRange", "416"):
                    return b""
                raise
            return _body(answer)

        return self._call(get, "read", self.uri(key))

    def tags(self, key: str) -> dict[str, str]:
        def get() -> dict[str, str]:
            answer = self._client.get_object_tagging(Bucket=self.bucket, Key=self._key(key))
            return {entry["Key"]: entry["Value"] for entry in answer["TagSet"]}

        return self._call(get, "read the tags of", self.uri(key))

    def write(self, key: str, data: bytes | memoryview, properties: Properties | None = None) -> None:
        if len(data) > SINGLE_PUT_BYTES:
            self._put_in_parts(key, io.BytesIO(data), properties)
        else:
            self._call(lambda: self._put(key, bytes(data), properties), "write", self.uri(key))

    def _put(self, key: str, data: bytes, properties: Properties | None = None, **options: str) -> None:
        md5 = hashlib.md5(data, usedforsecurity=False).digest()
        self._client.put_object(
            Bucket=self.bucket,
            Key=self._key(key),
            Body=data,
            ContentMD5=base64.b64encode(md5).decode(),
            **put_request(key, data[:HEAD_BYTES], sha256_hex(data), properties, self.encryption),
            **options,
        )

    @contextmanager
    def writer(self, key: str, properties: Properties | None = None) -> Iterator[IO[bytes]]:
        with tempfile.SpooledTemporaryFile(max_size=SINGLE_PUT_BYTES, prefix="pcakd-") as file:
            yield file
            size = file.seek(0, 2)
            file.seek(0)
            if size <= SINGLE_PUT_BYTES:
                self.write(key, file.read(), properties)
            else:
                self._put_in_parts(key, file, properties)

    def _put_in_parts(self, key: str, file: IO[bytes], properties: Properties | None = None) -> None:
        """A multipart upload: the object appears when it is completed, whole."""
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        file.seek(0)
        request = put_request(key, file.read(HEAD_BYTES), digest, properties, self.encryption)
        file.seek(0)
        target = {"Bucket": self.bucket, "Key": self._key(key)}
        where = self.uri(key)
        created = self._call(lambda: self._client.create_multipart_upload(**target, **request), "write", where)
        target["UploadId"] = created["UploadId"]
        try:
            parts: Parts = []
            while data := file.read(PART_BYTES):
                parts.append(
                    {"PartNumber": len(parts) + 1, "ETag": self._put_part(target, len(parts) + 1, data, where)}
                )
            self._call(lambda: self._complete(target, parts, digest, key), "write", where)
        except BaseException:
            with suppress(Exception):
                self._client.abort_multipart_upload(**target)
            raise

    def _put_part(self, target: dict, number: int, data: bytes, where: str) -> str:
        md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        answer = self._call(
            lambda: self._client.upload_part(**target, PartNumber=number, Body=data, ContentMD5=md5), "write", where
        )
        return answer["ETag"]

    def _complete(self, target: dict, parts: Parts, digest: str, key: str) -> None:
        try:
            self._client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
        except ClientError as error:
            # The first answer may have been lost: then the upload is gone because it is complete.
            written = self._head(key) if code_of(error) == "NoSuchUpload" else None
            if written is None or written["Metadata"].get(SHA256_METADATA) != digest:
                raise

    def create(self, key: str, data: bytes, properties: Properties | None = None) -> bool:
        def put() -> bool:
            try:
                self._put(key, data, properties, IfNoneMatch="*")
            except ClientError as error:
                if code_of(error) not in CONFLICT:
                    raise
                # Perhaps our own PUT, whose answer was lost: the content decides.
                return self._holds(key, data)
            return True

        return self._call(put, "create", self.uri(key))

    def _holds(self, key: str, data: bytes) -> bool:
        there = self._head(key)
        if there is None:
            raise _DamagedError("deleted in between")
        known = there["Metadata"].get(SHA256_METADATA)
        if known is not None:
            return known == sha256_hex(data)
        return there["ContentLength"] == len(data) and self.read(key) == data

    def delete(self, key: str) -> None:
        self._call(lambda: self._client.delete_object(Bucket=self.bucket, Key=self._key(key)), "delete", self.uri(key))

    def clear(self) -> None:
        # One by one: the servers differ in the checksum that they want of a bulk delete.
        with ThreadPoolExecutor(16) as threads:
            entries = self.list()
            while page := [entry.key for entry in islice(entries, 1000)]:
                deque(threads.map(self.delete, page), maxlen=0)

    def sweep(self) -> int:
        uploads = self._call(
            lambda: list_uploads(self._client, self.bucket, self.prefix), "list the unfinished uploads of", self.uri()
        )
        for key, upload in uploads:
            self._call(partial(self._abort, key, upload), "clean up", self.uri())
        return len(uploads)

    def _abort(self, key: str, upload: str) -> None:
        try:
            self._client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)
        except ClientError as error:
            if code_of(error) != "NoSuchUpload":
                raise

    def _key(self, key: str) -> str:
        if not key or "\0" in key:
            raise UsageError(f"{key!r}: is not an object key")
        return self.prefix + key

    def _call(self, call: Callable[[], T], verb: str, where: str) -> T:
        where = shown(where)

        def translate() -> T:
            try:
                return call()
            except Exception as error:
                if may_pass(error):
                    raise
                raise translated(error, verb, where) from None

        return call_with_retry(
            translate, what=f"{verb} {where}", passing=may_pass, describe=describe, policy=self.policy
        )


class _DamagedError(Exception):
    """An answer that is not what the server holds: cut, altered, or gone in between."""


def may_pass(error: Exception) -> bool:
    return isinstance(error, _DamagedError) or passing(error)


def list_uploads(client: Any, bucket: str, prefix: str) -> list[tuple[str, str]]:
    """(key, upload id) of the multipart uploads under a prefix that nobody completed."""
    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix)
    return [(entry["Key"], entry["UploadId"]) for page in pages for entry in page.get("Uploads", ())]


def _whole(answer: dict) -> dict:
    """The answer, if its head came through whole: one that is cut there is read as a shorter one."""
    etag = answer.get("ETag", "")
    if "ContentLength" not in answer or "LastModified" not in answer or not etag or etag.count('"') % 2:
        raise _DamagedError("incomplete head")
    return answer


def _body(answer: dict) -> bytes:
    with answer["Body"] as body:
        data = body.read()
    if len(data) != _whole(answer)["ContentLength"]:
        raise _DamagedError("incomplete body")
    return data


def _info(key: str, answer: dict) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        size=answer["ContentLength"],
        etag=answer["ETag"].strip('"'),
        mtime=answer["LastModified"].timestamp(),
        version=answer.get("VersionId", ""),
        properties=properties_of(answer),
    )


def parse_s3_uri(uri: str) -> tuple[str, str]:
    """(bucket, prefix) of "s3://bucket/prefix". Raises UsageError; never repeats credentials in it."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if "@" in bucket or ":" in bucket:
        raise UsageError(
            "an s3:// address holds no credentials and no port; use AWS_ACCESS_KEY_ID, PCAKD_S3_ENDPOINT_URL"
        )
    if not bucket:
        raise UsageError(f"{uri}: has no bucket; write s3://bucket/prefix")
    return bucket, prefix
