"""What lies in a workspace: the stages' outputs, finished or begun, with their sizes and what they were made of."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pcakd.errors import PcakdError
from pcakd.shards.dataset import GENERATIONS
from pcakd.storage import Storage
from pcakd.storage.stage import MANIFEST, read_manifest

DATASETS, EIGENBASES, STUDENTS = "shards", "eigenbases", "students"
STAGES = (DATASETS, EIGENBASES, STUDENTS, "evaluations", "drift", "shadows")
"""Folders of a workspace whose folders are outputs; nothing else is ever touched."""
IDENTITIES = {DATASETS: "digest", EIGENBASES: "eigenbases_digest", STUDENTS: "model_digest"}
"""Stage → the field of its manifest by which other outputs' inputs name it."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """One folder of a stage."""

    stage: str
    """The folder above it."""
    key: str
    """Its own name."""
    files: int
    """Objects in it."""
    bytes: int
    """Of all of them."""
    touched: float
    """When the last of them was written: seconds since 1970, UTC."""
    manifest: dict[str, Any] | None = field(default=None, repr=False)
    """Of a finished one; None while there is none."""
    digests: frozenset[str] = frozenset()
    """By which others' inputs name it: of a dataset those of all its generations."""

    @property
    def name(self) -> str:
        """As its lease and the log have it: stage/key."""
        return f"{self.stage}/{self.key}"

    @property
    def inputs(self) -> dict[str, str]:
        """Name → digest of what it was made of."""
        return dict((self.manifest or {}).get("inputs", {}))

    def words(self) -> str:
        """What it is, for people."""
        manifest = self.manifest
        if manifest is None:
            return "not finished"
        match self.stage:
            case "shards":
                rows = sum(split["rows"] for split in manifest.get("splits", {}).values())
                return f"{rows:,} photos of {manifest.get('source', '?')}, generation {manifest.get('generation', 0)}"
            case "eigenbases":
                return f"of {manifest.get('teacher', {}).get('id', '?')} on {manifest.get('photos', 0):,} photos"
            case "students":
                return f"{manifest.get('backbone', '?')}, {manifest.get('model_digest', '')[:12]}"
            case _:
                return f"of {(manifest.get('model_digest') or ', '.join(self.inputs))[:40]}"


def read_workspace(workspace: Storage) -> list[Output]:
    """Every output, by stage and key. One listing, and one read for each manifest."""
    found: dict[tuple[str, str], list[Any]] = {}
    for stage in STAGES:
        for entry in workspace.list(f"{stage}/"):
            _, key, *rest = entry.key.split("/", 2)
            if rest:
                files = found.setdefault((stage, key), [0, 0, 0.0, []])
                files[0] += 1
                files[1] += entry.size
                files[2] = max(files[2], entry.mtime)
                if rest[0] == MANIFEST or (rest[0].startswith(f"{GENERATIONS}/") and rest[0].endswith(f"/{MANIFEST}")):
                    files[3].append(rest[0].removesuffix(MANIFEST).rstrip("/"))
    return [_output(workspace, stage, key, *facts) for (stage, key), facts in found.items()]


def _output(
    workspace: Storage, stage: str, key: str, files: int, size: int, touched: float, manifests: list[str]
) -> Output:
    place = workspace.sub(f"{stage}/{key}")
    read = dict(_manifests(place, manifests))
    field_name = IDENTITIES.get(stage, "")
    digests = frozenset(str(one[field_name]) for one in read.values() if one.get(field_name))
    return Output(
        stage=stage, key=key, files=files, bytes=size, touched=touched, manifest=read.get(""), digests=digests
    )


def _manifests(place: Storage, folders: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(folder, manifest) of those that can be read; a damaged one makes an output that is not finished."""
    for folder in folders:
        try:
            manifest = read_manifest(place.sub(folder) if folder else place)
        except PcakdError:
            continue
        if manifest is not None:
            yield folder, manifest
