"""Eigenbases and moments as files: safetensors with a JSON of where they come from in the header."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from pcakd.eigenbases.pca import Eigenbases, LevelMoments, Moments
from pcakd.errors import CheckpointError
from pcakd.student.checkpoint import digest_tensors
from pcakd.student.network import LEVELS

FORMAT_VERSION = 1
EIGENBASES = "pcakd-eigenbases"
MOMENTS = "pcakd-moments"
_KEY = "pcakd"


def eigenbases_digest(bases: Eigenbases) -> str:
    """Identity of the bases alone: equal bases have equal digests, whatever they were fitted on."""
    return digest_tensors({f"eigenbases.{level}": basis for level, basis in enumerate(bases.bases)})


def eigenbases_bytes(bases: Eigenbases) -> bytes:
    """A file's content: `eigenbases.l` (C×k float32), `spectrum.l`, `explained.l`, `own.l` (C float64)."""
    tensors = {}
    for level in range(LEVELS):
        tensors[f"eigenbases.{level}"] = bases.bases[level]
        tensors[f"spectrum.{level}"] = bases.spectra[level]
        tensors[f"explained.{level}"] = bases.explained[level]
        tensors[f"own.{level}"] = bases.own[level]
    return _pack(
        tensors,
        EIGENBASES,
        photos=bases.photos,
        teacher=bases.teacher,
        data_digest=bases.data_digest,
        channels=list(bases.channels),
        digest=eigenbases_digest(bases),
    )


def load_eigenbases(path: str | os.PathLike) -> Eigenbases:
    """The eigenbases in a file. Raises CheckpointError for one missing, damaged, or of another kind."""
    return eigenbases_from(_read(Path(path)), str(path))


def eigenbases_from(data: bytes, name: str) -> Eigenbases:
    """Inverse of `eigenbases_bytes`; `name` is what errors call the file. Raises CheckpointError."""
    tensors, header = _unpack(data, name, EIGENBASES)
    try:
        bases = Eigenbases(
            bases=[tensors[f"eigenbases.{level}"] for level in range(LEVELS)],
            spectra=[tensors[f"spectrum.{level}"] for level in range(LEVELS)],
            explained=[tensors[f"explained.{level}"] for level in range(LEVELS)],
            own=[tensors[f"own.{level}"] for level in range(LEVELS)],
            photos=int(header["photos"]),
            teacher=dict(header["teacher"]),
            data_digest=str(header["data_digest"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{name}: is not a whole eigenbases file ({error} is missing or odd)") from None
    for level, (basis, spectrum) in enumerate(zip(bases.bases, bases.spectra, strict=True)):
        if basis.ndim != 2 or len(basis) != len(spectrum) or not torch.isfinite(basis).all():
            raise CheckpointError(f"{name}: eigenbases.{level} is not a finite C×k matrix beside its C eigenvalues")
    return bases


def moments_bytes(moments: Moments, **facts: Any) -> bytes:
    """A file's content: `mean.0`, `covariance.0`, `own.0`, ..., all float64 sums.

    facts: what `load_moments` gives back beside them; JSON.
    """
    tensors = {}
    for level, sums in enumerate(moments.levels):
        tensors[f"mean.{level}"] = sums.mean
        tensors[f"covariance.{level}"] = sums.covariance
        tensors[f"own.{level}"] = sums.own
    sampled = [sums.sampled for sums in moments.levels]
    return _pack(tensors, MOMENTS, photos=moments.photos, sampled=sampled, **facts)


def moments_from(data: bytes, name: str) -> tuple[Moments, dict[str, Any]]:
    """Inverse of `moments_bytes`: moments, and the facts saved with them. Raises CheckpointError."""
    tensors, header = _unpack(data, name, MOMENTS)
    try:
        levels = [
            LevelMoments(
                mean=tensors[f"mean.{level}"],
                covariance=tensors[f"covariance.{level}"],
                own=tensors[f"own.{level}"],
                sampled=int(header["sampled"][level]),
            )
            for level in range(LEVELS)
        ]
        return Moments(photos=int(header["photos"]), levels=levels), header
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(f"{name}: is not a whole moments file ({error} is missing or odd)") from None


def _pack(tensors: dict[str, Tensor], kind: str, **header: Any) -> bytes:
    record = {"format": kind, "format_version": FORMAT_VERSION, **header}
    contiguous = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    return save(contiguous, metadata={_KEY: json.dumps(record, sort_keys=True)})


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None


def _unpack(data: bytes, name: str, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        tensors = load(data)
        # A safetensors file starts with the length of its JSON header; the library gives metadata for paths only.
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {})
        header = json.loads(metadata[_KEY])
        found, version = header["format"], int(header["format_version"])
    except (SafetensorError, ValueError, KeyError, TypeError):
        raise CheckpointError(f"{name}: is not a whole {kind} file") from None
    if found != kind:
        raise CheckpointError(f"{name}: is a {found} file, not {kind}")
    if version > FORMAT_VERSION:
        raise CheckpointError(f"{name}: has format version {version}, newer than this pcakd reads; update pcakd")
    return tensors, header
