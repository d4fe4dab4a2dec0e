"""Stage outputs: a folder per stage and key, finished once its manifest exists.

output = StageOutput.open(workspace, "eigenbases", inputs={"shards": digest}, params={"level": 3})
if (manifest := output.finished()) is None:
    output.storage.write("bases.safetensors", data)
    manifest = output.finish({"rows": 1000})
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pcakd.errors import FatalError
from pcakd.storage.base import Storage

MANIFEST = "manifest.json"


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


def finished(workspace: Storage, stage: str, key: str) -> dict[str, Any] | None:
    """The manifest of `<workspace>/<stage>/<key>/`, None while that stage is not finished."""
    return read_manifest(workspace.sub(f"{stage}/{key}"))


@dataclass(frozen=True, kw_only=True)
class StageOutput:
    """Where one run of a stage writes.

    storage: `<workspace>/<stage>/<key>/`.
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
        key = stage_key(inputs, params)
        return cls(storage=workspace.sub(f"{stage}/{key}"), stage=stage, key=key, inputs=inputs, params=params)

    def finished(self) -> dict[str, Any] | None:
        """The manifest of an earlier run that finished, else None."""
        return read_manifest(self.storage)

    def finish(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Write the manifest, last: `content` beside stage, key, inputs and params. Returns it."""
        manifest = {
            "format": 1,
            "stage": self.stage,
            "key": self.key,
            "inputs": dict(self.inputs),
            "params": dict(self.params),
            **content,
        }
        write_manifest(self.storage, manifest)
        return manifest
