"""Whose a destination's names are: the first job that writes under them claims them, another job is told so.

    <dest>/_pcakd/claims/<hash of a pattern>/000001.json      job, source, model, host, moment

The highest number counts. A pattern is the template with style and version in it, as "v7/{dir}{stem}.evening{ext}":
jobs of other patterns do not get into each other's way. A number is taken by a conditional write, so that of two jobs
which begin at once one has it. A claim is given back only by the start that made it, where nothing was listed.
"""

import json
import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pcakd.bulk.followed import followed_job
from pcakd.bulk.job import Resolved, version_in_names
from pcakd.bulk.naming import TEMPLATE
from pcakd.bulk.schema import FOLDER
from pcakd.errors import NotFoundError, UsageError
from pcakd.storage import Storage, sha256_hex, shown
from pcakd.storage.stage import canonical_json

CLAIMS = f"{FOLDER}/claims"
SPEC = "spec.json"


@dataclass
class NamesClaim:
    """What a start has claimed."""

    dest: Storage
    made: list[str] = field(default_factory=list)

    def give_back(self) -> None:
        """Undo it: this start came to nothing."""
        for key in self.made:
            self.dest.delete(key)
        self.made = []


def check_names(dest: Storage, resolved: Resolved) -> None:
    """Raise UsageError where the job's names are another job's, and it is not told that this is meant.

    A job that has a ledger there goes on; so does one that writes over nothing, and the next version of a followed
    alias, which `follow` has decided on.
    """
    job = resolved.job
    if job.shared_dest or job.overwrite == "fail" or _has_listed(dest, resolved.job_id):
        return
    before = followed_job(job, resolved, dest)
    for pattern in _patterns(resolved.spec()):
        holder = _holder(dest, pattern) or _older_job(dest, pattern, besides=(resolved.job_id, before))
        if holder is not None and holder["job_id"] not in (resolved.job_id, before):
            raise _taken(dest, pattern, holder)


def claim_names(dest: Storage, resolved: Resolved) -> NamesClaim:
    """Claim what the job's results will be called, before anything is written there. Raises as `check_names`."""
    check_names(dest, resolved)
    job, claim = resolved.job, NamesClaim(dest)
    record = {
        "job_id": resolved.job_id,
        "source": resolved.spec()["source"],
        "model": resolved.model,
        "host": socket.gethostname(),
        "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
    }
    before = followed_job(job, resolved, dest)
    for pattern in _patterns(resolved.spec()):
        number, holder = _top(dest, pattern)
        if holder is not None and holder["job_id"] != before:
            continue  # the job's own, or one that it may share with
        key = f"{_place(pattern)}{number + 1:06d}.json"
        if dest.create(key, canonical_json(record)):
            claim.made.append(key)
            continue
        try:
            check_names(dest, resolved)  # somebody was quicker
        except UsageError:
            claim.give_back()
            raise
    return claim


def _patterns(spec: dict[str, Any]) -> list[str]:
    """What the names of a job's results have in common, of its spec; in order."""
    version = version_in_names(spec["model"], spec["model_digest"])
    template = spec["template"].replace("{key}", TEMPLATE).replace("{version}", version)
    return sorted({template.replace("{style}", style) for style in spec["styles"]})


def _place(pattern: str) -> str:
    return f"{CLAIMS}/{sha256_hex(pattern.encode())[:16]}/"


def _top(dest: Storage, pattern: str) -> tuple[int, dict[str, Any] | None]:
    """(number, record) of the claim that counts; (0, None) where there is none."""
    keys = [entry.key for entry in dest.list(_place(pattern))]
    if not keys:
        return 0, None
    try:
        record = json.loads(dest.read(keys[-1]))
        return int(keys[-1][-11:-5]), {name: str(record[name]) for name in ("job_id", "source", "host", "since")}
    except NotFoundError:
        return 0, None  # given back in between
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{dest.uri(keys[-1])}: is not the record of a claim; delete it") from None


def _holder(dest: Storage, pattern: str) -> dict[str, Any] | None:
    return _top(dest, pattern)[1]


def _has_listed(dest: Storage, job_id: str) -> bool:
    """Whether a job has a ledger there, with anything in it."""
    root = f"{FOLDER}/{job_id}"
    return any(dest.exists(f"{root}/{name}") for name in ("newest.json", "snapshots/000001/snapshot.json"))


def _older_job(dest: Storage, pattern: str, besides: tuple[str, ...]) -> dict[str, Any] | None:
    """A job that has a ledger there, of before there were claims, and names its results so."""
    for name in dest.folders(f"{FOLDER}/"):
        key = f"{FOLDER}/{name}/{SPEC}"
        if name in besides or (found := dest.head(key)) is None or not _has_listed(dest, name):
            continue
        try:
            spec = json.loads(dest.read(key))
            if pattern in _patterns(spec):
                since = f"{datetime.fromtimestamp(found.mtime, UTC):%Y-%m-%d %H:%M:%S} UTC"
                return {"job_id": name, "source": spec["source"], "host": "", "since": since}
        except (ValueError, KeyError, TypeError, NotFoundError):
            continue  # no job's ledger, or one that is gone
    return None


def _taken(dest: Storage, pattern: str, holder: dict[str, Any]) -> UsageError:
    host = f" on {holder['host']}" if holder["host"] else ""
    return UsageError(
        f"{dest.uri()}: the names {shown(pattern)} are those of job {shown(holder['job_id'])}, which stylizes "
        f"{shown(holder['source'])} and began {holder['since']}{host}: this job would write over its results; choose "
        "another destination or template, or allow it with --shared-dest"
    )
