"""One `.safetensors` file is one model: inference weights, eigenbases, and a JSON of where it comes from."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pcakd.errors import CheckpointError, UsageError
from pcakd.files import write_atomic
from pcakd.student.address import Located, is_address, resolve
from pcakd.student.network import LEVELS, Student, StudentSpec

FORMAT = "pcakd-student"
FORMAT_VERSION = 1
_KEY = "pcakd"


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """Where a model comes from; travels in the file's header as JSON."""

    spec: StudentSpec
    """Backbone and widths."""
    teacher: Mapping[str, str] = field(default_factory=dict)
    """Teacher "id" and "digest"."""
    eigenbases_digest: str = ""
    """Digest of the eigenbases that the student was distilled against."""
    data_digest: str = ""
    """Digest of the training data."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """What was measured when it was made."""
    commit: str = ""
    """Git commit of the code that made it."""
    licence: str = ""
    """Licence of the weights."""
    origin: str = ""
    """One sentence: trained by what, or converted from what."""
    compat: str = "pcakd"
    """Default stylization method: "released" for models converted from the paper's, else "pcakd"."""

    def to_json(self) -> str:
        """The header's JSON, keys sorted."""
        record = asdict(self) | {"format": FORMAT, "format_version": FORMAT_VERSION}
        record |= record.pop("spec")
        return json.dumps(record, sort_keys=True, default=_plain)

    @classmethod
    def from_json(cls, text: str, name: str) -> "Metadata":
        """Inverse of `to_json`. Raises CheckpointError; fields of newer minor writers are ignored."""
        try:
            record: dict[str, Any] = json.loads(text)
            version = record["format_version"]
            if record["format"] != FORMAT or not isinstance(version, int):
                raise KeyError("format")
            if version > FORMAT_VERSION:
                raise CheckpointError(
                    f"{name}: has format version {version}, newer than this pcakd reads; update pcakd"
                )
            spec = StudentSpec(backbone=record["backbone"], channels=tuple(record["channels"]))
            known = {k: record[k] for k in cls.__dataclass_fields__ if k in record and k != "spec"}
            return cls(spec=spec, **known)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise CheckpointError(f"{name}: its header is not that of a pcakd model") from None
        except UsageError as error:
            raise CheckpointError(f"{name}: {error}") from None


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)


class Checkpoint(NamedTuple):
    """A loaded model."""

    student: Student  # eval mode, fp32, on the CPU
    metadata: Metadata
    eigenbases: dict[int, Tensor]  # level → C×k, fp32; empty if the file has none
    digest: str  # SHA-256 of the tensors, whatever the metadata
    source: str = ""  # what it was loaded from, an alias resolved to its version


def builtin_models() -> dict[str, Path]:
    """Name → file of the models that ship with the package."""
    folder = Path(str(resources.files("pcakd"))) / "models"
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def find_model(name: str | os.PathLike) -> Located:
    """The file of a model: a built-in name, a path, or an address like models:/pcakd-vgg@champion.

    Raises CheckpointError listing the choices.
    """
    text, builtin = os.fspath(name), builtin_models()
    if text in builtin:
        return Located(builtin[text], text)
    if is_address(text):
        return resolve(text)
    path = Path(name)
    if path.is_file():
        return Located(path, text)
    choices = ", ".join(builtin) or "none in this build"
    raise CheckpointError(f"{name}: no such model; give a .safetensors file or a built-in name ({choices})")


def digest_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of tensors, in order of names."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return sha.hexdigest()


def student_tensors(student: Student, eigenbases: Mapping[int, Tensor] | None = None) -> dict[str, Tensor]:
    """A checkpoint's tensors by name: `encoder.block0.conv0.weight`, …, `eigenbases.0`, ….

    Channels-last weights are stored contiguous, so that equal models have equal bytes.
    """
    tensors = {k: v.detach().float().cpu().contiguous() for k, v in student.state_dict().items()}
    for level, basis in (eigenbases or {}).items():
        tensors[f"eigenbases.{level}"] = basis.detach().float().cpu().contiguous()
    return tensors


def checkpoint_bytes(student: Student, metadata: Metadata, eigenbases: Mapping[int, Tensor] | None = None) -> bytes:
    """A checkpoint file's content. Raises CheckpointError if the weights are not finite."""
    tensors = student_tensors(student, eigenbases)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{name} has values that are not finite; the model is not saved")
    return save(tensors, metadata={_KEY: metadata.to_json()})


def save_checkpoint(
    path: str | os.PathLike, student: Student, metadata: Metadata, eigenbases: Mapping[int, Tensor] | None = None
) -> str:
    """Write a checkpoint file whole or not at all; returns its digest (see `Checkpoint.digest`)."""
    write_atomic(path, checkpoint_bytes(student, metadata, eigenbases))
    return digest_tensors(student_tensors(student, eigenbases))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and header metadata of a safetensors file. Raises CheckpointError if it is not one, or not whole."""
    try:
        with safe_open(str(path), framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: is not a whole safetensors file ({' '.join(str(error).split())})") from None


def load_checkpoint(name: str | os.PathLike) -> Checkpoint:
    """Load a built-in model by name or a checkpoint by path. Raises CheckpointError with what is wrong in the file."""
    path, source = find_model(name)
    tensors, header = read_tensors(path)
    if _KEY not in header:
        raise CheckpointError(
            f"{path}: is a safetensors file but not a pcakd model (released models: pcakd import-released)"
        )
    metadata = Metadata.from_json(header[_KEY], str(path))
    eigenbases = {
        level: tensors.pop(f"eigenbases.{level}") for level in range(LEVELS) if f"eigenbases.{level}" in tensors
    }
    student = build_student(metadata.spec, tensors, str(path))
    return Checkpoint(student, metadata, eigenbases, digest_tensors(student_tensors(student, eigenbases)), source)


def build_student(spec: StudentSpec, tensors: Mapping[str, Tensor], name: str) -> Student:
    """A student with these weights, in eval mode. Raises CheckpointError naming the tensor that does not fit."""
    student = Student(spec)
    wanted = student.state_dict()
    for key, tensor in wanted.items():
        if key not in tensors:
            raise CheckpointError(f"{name}: tensor {key} is missing for a {spec.backbone} student of {spec.channels}")
        if tensors[key].shape != tensor.shape:
            raise CheckpointError(f"{name}: tensor {key} is {tuple(tensors[key].shape)}, not {tuple(tensor.shape)}")
        if not torch.isfinite(tensors[key]).all():
            raise CheckpointError(f"{name}: tensor {key} has values that are not finite")
    if extra := sorted(set(tensors) - set(wanted)):
        raise CheckpointError(f"{name}: tensor {extra[0]} does not belong to a {spec.backbone} student")
    student.load_state_dict({key: tensors[key] for key in wanted})
    return student.eval().requires_grad_(False)
