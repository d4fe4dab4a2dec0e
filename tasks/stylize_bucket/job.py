"""One bulk job: list, read, stylize, write each result whole, and a table with a row for every object.

    <dest>/<key>                            the result; a suffix that cannot be written gets ".png" behind it
    <dest>/_pcakd/<job id>/job.json         what was asked, with the model's alias resolved
    <dest>/_pcakd/<job id>/results.parquet  one row an object; written last: the job is finished

The job id is a hash of what was asked and of the listing, so a finished job run again does nothing.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from pcakd.bulk.job import BucketJob, read_place
from pcakd.errors import PhotoError, TransientError, UsageError
from pcakd.images import FORMATS, encode_photo
from pcakd.storage import ObjectInfo, Storage, open_storage, sha256_hex
from pcakd.storage.parquet import read_parquet, write_parquet
from pcakd.storage.stage import canonical_json
from pcakd.stylizer import Stylizer

FOLDER = "_pcakd"
RESULTS = "results.parquet"
OK = "ok"

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("etag", pa.string()),
        ("size", pa.int64()),
        ("output", pa.string()),
        ("sha256", pa.string()),
        ("status", pa.string()),
        ("message", pa.string()),
    ]
)
"""One object: status "ok", the reason of a photo that cannot be read, or "unreachable"."""


@dataclass(frozen=True, kw_only=True)
class BucketReport:
    """status: objects by status; results: where the table is; model: with its alias resolved."""

    job_id: str
    model: str
    status: dict[str, int]
    results: str
    reused: bool

    @property
    def failed(self) -> int:
        return sum(count for status, count in self.status.items() if status != OK)


def stylize_bucket(job: BucketJob, *, advance: Callable[[int], None] = lambda count: None) -> BucketReport:
    """Run a job to its end. advance: told of every object that is done.

    Raises UsageError, AccessError and NotFoundError for what cannot be used at all, TransientError when
    the results cannot be written.
    """
    source, dest = open_storage(job.source), open_storage(job.dest)
    inner, outer = f"{dest.uri()}/", f"{source.uri()}/"
    if inner.startswith(outer) or outer.startswith(inner):
        raise UsageError(f"{dest}: source and destination lie in each other; choose another destination")
    source.check()
    entries = [entry for _, entry in zip(range(job.limit or 1 << 62), source.list(), strict=False)]
    if not entries:
        raise UsageError(f"{source}: holds no objects")
    stylizer = Stylizer.load(job.model)
    spec = asdict(job) | {"model": stylizer.source, "model_digest": stylizer.digest, "styles": list(job.styles)}
    listing = [[entry.key, entry.size, entry.etag] for entry in entries]
    job_id = sha256_hex(canonical_json({"spec": spec, "listing": listing}))[:16]
    record = dest.sub(f"{FOLDER}/{job_id}")
    if record.exists(RESULTS):
        table = read_parquet(record, RESULTS)
        return _report(job_id, stylizer.source, table.to_pylist(), record, reused=True)
    record.write("job.json", canonical_json(spec))
    style = stylizer.style(*[read_place(place) for place in job.styles])
    rows = []
    for entry in entries:
        rows.append(_one(source, dest, entry, stylizer, style, job))
        advance(1)
    write_parquet(record, RESULTS, pa.Table.from_pylist(rows, SCHEMA))
    return _report(job_id, stylizer.source, rows, record, reused=False)


def _one(
    source: Storage, dest: Storage, entry: ObjectInfo, stylizer: Stylizer, style: Any, job: BucketJob
) -> dict[str, Any]:
    row: dict[str, Any] = {"key": entry.key, "etag": entry.etag, "size": entry.size, "status": OK}
    try:
        output = output_key(entry.key)
        result = stylizer.stylize(source.read(entry.key), style, job.options())
        data = encode_photo(result, FORMATS[PurePosixPath(output).suffix.lower()], quality=job.quality)
    except PhotoError as error:
        return row | {"status": error.reason, "message": str(error)}
    except TransientError as error:
        return row | {"status": "unreachable", "message": str(error)}
    dest.write(output, data)
    return row | {"output": output, "sha256": sha256_hex(data)}


def output_key(key: str) -> str:
    """The result's key: the photo's own, with ".png" behind a suffix that cannot be written."""
    return key if PurePosixPath(key).suffix.lower() in FORMATS else f"{key}.png"


def _report(job_id: str, model: str, rows: list[dict[str, Any]], record: Storage, *, reused: bool) -> BucketReport:
    status = dict(Counter(row["status"] for row in rows))
    return BucketReport(job_id=job_id, model=model, status=status, results=record.uri(RESULTS), reused=reused)
