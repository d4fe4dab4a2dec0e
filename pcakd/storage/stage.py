"""Stage outputs: a folder per stage and key, finished once its manifest exists.

output = StageOutput.open(workspace, "eigenbases", inputs={"shards": digest}, params={"level": 3})
if (manifest := output.finished()) is None:
    output.storage.write("bases.safetensors", data)
    manifest = output.finish({"rows": 1000})
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pcakd.errors import FatalError, PcakdError
from pcakd.storage.base import Storage

MANIFEST = "manifest.json"

Finish = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Writes a stage's manifest, given its content, and returns it; refuses where another run has taken the stage over."""


def canonical_json(value: Any) -> bytes:
    """The same bytes for the same value: sorted names, UTF-8, two spaces of indentation, a final newline."""
    return (json.dumps(value, sort_keys=True, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode()


def stage_key(inputs: Mapping[str, str], params: Mapping[str, Any]) -> str:
    """The name of a stage's output: 20 hexadecimal digits from its inputs' digests and its parameters.

    params: what can be written as JSON; floats count by their shortest decimal form.
    """
    return hashlib.sha256(canonical_json({"inputs": dict(inputs), "params": dict(params)})).hexdigest()[:20]


def read_manifest(storage: Storage) -> dict[str, Any] | None:
    """The manifest of a finished stage, None while there is none. Raises FatalError for a damaged one."""
    if not storage.exists(MANIFEST):
        return None
    try:
        manifest = json.loads(storage.read(MANIFEST))
    except ValueError:
        raise FatalError(f"{storage.uri(MANIFEST)}: is not JSON; delete it and run the stage again") from None
    if not isinstance(manifest, dict):
        raise FatalError(f"{storage.uri(MANIFEST)}: is not a manifest; delete it and run the stage again")
    return manifest


def write_manifest(storage: Storage, manifest: Mapping[str, Any]) -> None:
    """Declare the stage finished: to be called when everything else is written."""
    storage.write(MANIFEST, canonical_json(manifest))


@dataclass(frozen=True, kw_only=True)
class StageOutput:
    """Where one run of a stage writes, and by which key it is found again.

    storage: `<workspace>/<stage>/<key>/`, or a place that a user chose for this one output.
    """

    storage: Storage
    stage: str
    key: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def open(
        cls, workspace: Storage, stage: str, *, inputs: Mapping[str, str], params: Mapping[str, Any]
    ) -> "StageOutput":
        """The output that belongs to these inputs (name → digest) and parameters."""
        return cls.at(workspace.sub(f"{stage}/{stage_key(inputs, params)}"), stage, inputs=inputs, params=params)

    @classmethod
    def at(cls, storage: Storage, stage: str, *, inputs: Mapping[str, str], params: Mapping[str, Any]) -> "StageOutput":
        """The same output at a place that a user chose."""
        return cls(storage=storage, stage=stage, key=stage_key(inputs, params), inputs=inputs, params=params)

    def finished(self) -> dict[str, Any] | None:
        """The manifest of an earlier run that finished in a workspace's folder, which bears the key; else None."""
        manifest = read_manifest(self.storage)
        return manifest if manifest is None or manifest.get("key") == self.key else self.adopt(manifest)

    def adopt(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """The manifest of this output that was written under another key, under this one.

        Shards and eigenbases had a key in the manifest beside that of their folder, made from other inputs.
        """
        adopted = {**manifest, **self._identity()}
        with suppress(PcakdError):  # who may only read the workspace uses what he has read
            write_manifest(self.storage, adopted)
        return adopted

    def finish(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Write the manifest, last: `content` beside stage, key, inputs and params. Returns it."""
        manifest = {"format": 1, **self._identity(), **content}
        write_manifest(self.storage, manifest)
        return manifest

    def _identity(self) -> dict[str, Any]:
        return {"stage": self.stage, "key": self.key, "inputs": dict(self.inputs), "params": dict(self.params)}
