"""Jobs that follow an alias: a destination keeps the version that it was begun with, unless it is told otherwise.

An alias that moves makes another job of the same command: all results would be made again, into the same names. So the
version is recorded beside the ledgers, in `_pcakd/followed/<hash>.json`, the hash being of all that the job is told
but the version; and the next run goes on with that version, or with `restyle` takes the new one.
"""

import json
from collections.abc import Callable
from dataclasses import replace

from pcakd.bulk.job import BucketJob, Resolved, look_up
from pcakd.bulk.ledger import Ledger
from pcakd.bulk.schema import FOLDER
from pcakd.errors import FatalError, NotFoundError, UsageError
from pcakd.photos.outcomes import OK
from pcakd.storage import Storage, sha256_hex
from pcakd.storage.stage import canonical_json
from pcakd.student.address import is_address
from pcakd.units import counted


def follow(
    job: BucketJob, dest: Storage, *, tell: Callable[[str], None] = lambda words: None
) -> tuple[Resolved, Callable[[], None]]:
    """Look a job up, with the version that its destination was begun with; what records that version, to be called
    once the job may begin.

    tell: told in a sentence when the alias has moved. Raises as `look_up`, UsageError where the version of before is
    not in the registry any more.
    """
    resolved = look_up(job)
    if not (is_address(job.model) and "@" in job.model):
        return resolved, lambda: None
    key = _place(job, resolved)
    before = _record(dest, key)
    if before is not None and before["model"] != resolved.model and not job.restyle:
        moved = f"{job.model} is {resolved.model} by now, and {dest.uri()} was begun with {before['model']}"
        try:
            kept = look_up(replace(job, model=before["model"]))
        except UsageError as error:
            raise UsageError(f"{moved}, which cannot be had any more ({error}); --restyle takes the new one") from None
        if finished := _finished(dest, kept):
            tell(
                f"{moved}, which goes on: {counted(finished, 'finished result')} would be made again; "
                "--restyle takes the new one"
            )
            return kept, lambda: None
    return resolved, lambda: dest.write(key, canonical_json({"model": resolved.model, "job_id": resolved.job_id}))


def followed_job(job: BucketJob, resolved: Resolved, dest: Storage) -> str:
    """The id of the job that a destination was begun with under the same alias; "" for none."""
    record = _record(dest, _place(job, resolved)) if "@" in job.model else None
    return record["job_id"] if record else ""


def _place(job: BucketJob, resolved: Resolved) -> str:
    spec = {name: value for name, value in resolved.spec().items() if name not in ("model", "model_digest")}
    told = sha256_hex(canonical_json(spec | {"compat": job.compat, "follows": job.model}))[:16]
    return f"{FOLDER}/followed/{told}.json"


def _record(dest: Storage, key: str) -> dict[str, str] | None:
    try:
        record = json.loads(dest.read(key))
        return {"model": str(record["model"]), "job_id": str(record.get("job_id", ""))}
    except NotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise FatalError(f"{dest.uri(key)}: is not the record of a followed alias; delete it") from None


def _finished(dest: Storage, resolved: Resolved) -> int:
    """How many results of a job are done."""
    snapshot = Ledger(dest, resolved).newest()
    if snapshot is None:
        return 0
    return (snapshot.done() or snapshot.totals()).status.get(OK, 0)
