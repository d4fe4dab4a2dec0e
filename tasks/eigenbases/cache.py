"""Moments of whole shards, kept beside them: a dataset that grows pays for the photos of its new shards.

They may be lost or lie where nothing can be written; they are made again then.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pcakd.eigenbases.files import moments_bytes, moments_from
from pcakd.eigenbases.pca import Moments
from pcakd.errors import CheckpointError, NotFoundError, PcakdError
from pcakd.shards import ShardInfo
from pcakd.storage import Storage
from pcakd.storage.stage import stage_key

FOLDER = "_moments"

Sums = tuple[Moments, dict[str, int]]
"""Moments, and photos that were left out by reason."""


@dataclass(frozen=True, kw_only=True)
class MomentsCache:
    """The moments of a dataset's shards for one teacher.

    params: how photos are fed to it (crop, spectrum_every).
    """

    storage: Storage
    teacher: str
    params: Mapping[str, Any]

    def read(self, shard: ShardInfo) -> Sums | None:
        """What is kept of a shard, None for nothing."""
        if not (facts := self._facts(shard)):
            return None
        key = self._key(facts)
        try:
            moments, header = moments_from(self.storage.read(key), self.storage.uri(key))
        except NotFoundError:
            return None
        except CheckpointError as error:
            logging.getLogger("pcakd").warning("%s; it is made anew", error)
            return None
        return (moments, header["left_out"]) if header.get("of") == facts else None

    def write(self, shard: ShardInfo, sums: Sums) -> None:
        """Keep the sums of a shard."""
        if facts := self._facts(shard):
            moments, left_out = sums
            try:
                self.storage.write(self._key(facts), moments_bytes(moments, left_out=left_out, of=facts))
            except PcakdError as error:
                logging.getLogger("pcakd").warning("the moments of %s are not kept: %s", shard.file, error)

    def _facts(self, shard: ShardInfo) -> dict[str, Any] | None:
        """All that the sums depend on."""
        if not shard.sha256:
            return None
        return {"shard": shard.identity, "teacher": self.teacher, **self.params}

    def _key(self, facts: Mapping[str, Any]) -> str:
        return f"{FOLDER}/{stage_key({}, facts)}.safetensors"
