"""Which photos of a listing a shadow run takes: those whose keys have the smallest hashes, so always the same ones."""

import hashlib
import heapq
from collections.abc import Iterator

from pcakd.bulk.schema import FOLDER
from pcakd.bulk.snapshot import key_filter, literal_prefix
from pcakd.errors import UsageError
from pcakd.photos.leftovers import is_left_out
from pcakd.shadow.config import ShadowJob
from pcakd.storage import Storage
from pcakd.storage.base import ObjectInfo


def choose(source: Storage, job: ShadowJob) -> list[ObjectInfo]:
    """At most `job.sample` objects, in the order of their keys; memory grows with the sample alone.

    Raises UsageError where there is none, and what the storage raises.
    """
    ranked = ((_rank(info.key), info.key, info) for info in _photos(source, job))
    found = [info for _, _, info in heapq.nsmallest(job.sample, ranked)]
    if not found:
        chosen = " that the globs take" if job.include or job.exclude else ""
        raise UsageError(f"{source}: holds no photos{chosen}")
    return sorted(found, key=lambda info: info.key)


def _photos(source: Storage, job: ShadowJob) -> Iterator[ObjectInfo]:
    wanted = key_filter(job.include, job.exclude)
    for info in source.list(literal_prefix(job.include)):
        if not info.key.startswith(f"{FOLDER}/") and info.size and not is_left_out(info.key) and wanted(info.key):
            yield info


def _rank(key: str) -> bytes:
    return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=8).digest()
