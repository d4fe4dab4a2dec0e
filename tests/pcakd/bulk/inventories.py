"""S3 Inventories as S3 writes them, made of what a bucket holds: servers that tests run have none of their own."""

import csv
import gzip
import hashlib
import io
import json
from typing import Any
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq

from pcakd.storage import open_storage

CSV_SCHEMA = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass"
TABLE_SCHEMA = pa.schema(
    [
        ("bucket", pa.string()),
        ("key", pa.string()),
        ("version_id", pa.string()),
        ("is_latest", pa.bool_()),
        ("is_delete_marker", pa.bool_()),
        ("size", pa.int64()),
        ("last_modified_date", pa.timestamp("ms")),
        ("e_tag", pa.string()),
        ("storage_class", pa.string()),
    ]
)
CREATED = 1764032400000  # 2025-11-25 01:00 UTC


def entries(client: Any, bucket: str) -> list[dict[str, Any]]:
    """What an inventory of all versions lists of a bucket, the last keys first."""
    pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket)
    found = []
    for page in pages:
        for one in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
            found.append(
                {
                    "bucket": bucket,
                    "key": one["Key"],
                    "version_id": "" if one["VersionId"] == "null" else one["VersionId"],
                    "is_latest": one["IsLatest"],
                    "is_delete_marker": "Size" not in one,
                    "size": one.get("Size"),
                    "last_modified_date": one["LastModified"].replace(tzinfo=None),
                    "e_tag": one["ETag"].strip('"') if "ETag" in one else None,
                    "storage_class": one.get("StorageClass"),
                }
            )
    return sorted(found, key=lambda one: one["key"], reverse=True)


def write_inventory(place: str, bucket: str, rows: list[dict[str, Any]], kind: str, *, each: int = 3, **changes) -> str:
    """An inventory under s3://…, `each` rows a file; its manifest's address. changes: of the manifest's fields."""
    storage = open_storage(f"{place}/{bucket}/daily")
    target, _, prefix = place.removeprefix("s3://").partition("/")
    suffix, write = {"CSV": ("csv.gz", _csv), "ORC": ("orc", _orc), "Parquet": ("parquet", _parquet)}[kind]
    files = []
    for start in range(0, len(rows), each):
        key, data = f"data/{start:04d}.{suffix}", write(rows[start : start + each])
        storage.write(key, data)
        files.append(
            {
                "key": f"{prefix}/{bucket}/daily/{key}".lstrip("/"),
                "size": len(data),
                "MD5checksum": hashlib.md5(data).hexdigest(),
            }
        )
    manifest = {
        "sourceBucket": bucket,
        "destinationBucket": f"arn:aws:s3:::{target}",
        "version": "2016-11-30",
        "creationTimestamp": str(CREATED),
        "fileFormat": kind,
        "fileSchema": CSV_SCHEMA if kind == "CSV" else "struct<bucket:string,key:string>",
        "files": files,
    }
    storage.write("2025-11-25T01-00Z/manifest.json", json.dumps(manifest | changes).encode())
    return storage.uri("2025-11-25T01-00Z/manifest.json")


def _csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for row in rows:
        values = row | {"key": quote_plus(row["key"], safe="/"), "last_modified_date": "2025-11-24T00:00:00.000Z"}
        writer.writerow([str(v).lower() if isinstance(v, bool) else v for v in values.values()])
    return gzip.compress(text.getvalue().encode())


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, TABLE_SCHEMA)


def _orc(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    orc.write_table(_table(rows), buffer)
    return buffer.getvalue()


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(_table(rows), buffer)
    return buffer.getvalue()
