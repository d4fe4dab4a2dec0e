"""Eigenbases and moments as files: safetensors with a JSON of where they come from in the header."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from pcakd.checkpoint import digest_tensors, read_tensors
from pcakd.errors import CheckpointError
from pcakd.pca import Eigenbases, LevelMoments, Moments
from pcakd.student import LEVELS

FORMAT_VERSION = 1
EIGENBASES = "pcakd-eigenbases"
MOMENTS = "pcakd-moments"
_KEY = "pcakd"


def eigenbases_digest(bases: Eigenbases) -> str:
    """Identity of the bases alone: equal bases have equal digests, whatever they were fitted on."""
    return digest_tensors({f"eigenbases.{level}": basis for level, basis in enumerate(bases.bases)})


def eigenbases_bytes(bases: Eigenbases) -> bytes:
    """A file's content: `eigenbases.0` ... (C×k float32), `spectrum.0` ..., `explained.0` ... (C float64)."""
    tensors = {}
    for level in range(LEVELS):
        tensors[f"eigenbases.{level}"] = bases.bases[level]
        tensors[f"spectrum.{level}"] = bases.spectra[level]
        tensors[f"explained.{level}"] = bases.explained[level]
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
    """Inverse of `eigenbases_bytes`. Raises CheckpointError for a missing or damaged file, or one of another kind."""
    tensors, header = _unpack(Path(path), EIGENBASES)
    try:
        bases = Eigenbases(
            bases=[tensors[f"eigenbases.{level}"] for level in range(LEVELS)],
            spectra=[tensors[f"spectrum.{level}"] for level in range(LEVELS)],
            explained=[tensors[f"explained.{level}"] for level in range(LEVELS)],
            photos=int(header["photos"]),
            teacher=dict(header["teacher"]),
            data_digest=str(header["data_digest"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: is not a whole eigenbases file ({error} is missing or odd)") from None
    for level, (basis, spectrum) in enumerate(zip(bases.bases, bases.spectra, strict=True)):
        if basis.ndim != 2 or len(basis) != len(spectrum) or not torch.isfinite(basis).all():
            raise CheckpointError(f"{path}: eigenbases.{level} is not a finite C×k matrix beside its C eigenvalues")
    return bases


def moments_bytes(moments: Moments, *, teacher: dict[str, str], data_digest: str) -> bytes:
    """A file's content: `mean.0`, `covariance.0`, `normalised.0`, ..., all float64 sums."""
    tensors = {}
    for level, sums in enumerate(moments.levels):
        tensors[f"mean.{level}"] = sums.mean
        tensors[f"covariance.{level}"] = sums.covariance
        tensors[f"normalised.{level}"] = sums.normalised
    varied = [sums.varied for sums in moments.levels]
    return _pack(tensors, MOMENTS, photos=moments.photos, varied=varied, teacher=teacher, data_digest=data_digest)


def load_moments(path: str | os.PathLike) -> tuple[Moments, dict[str, Any]]:
    """Moments and their header ("teacher", "data_digest"). Raises CheckpointError."""
    tensors, header = _unpack(Path(path), MOMENTS)
    try:
        levels = [
            LevelMoments(
                mean=tensors[f"mean.{level}"],
                covariance=tensors[f"covariance.{level}"],
                normalised=tensors[f"normalised.{level}"],
                varied=int(header["varied"][level]),
            )
            for level in range(LEVELS)
        ]
        return Moments(photos=int(header["photos"]), levels=levels), header
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(f"{path}: is not a whole moments file ({error} is missing or odd)") from None


def _pack(tensors: dict[str, Tensor], kind: str, **header: Any) -> bytes:
    record = {"format": kind, "format_version": FORMAT_VERSION, **header}
    contiguous = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    return save(contiguous, metadata={_KEY: json.dumps(record, sort_keys=True)})


def _unpack(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, metadata = read_tensors(path)
    try:
        header = json.loads(metadata.get(_KEY, ""))
        if header["format"] != kind:
            raise CheckpointError(f"{path}: is a {header['format']} file, not {kind}")
        if int(header["format_version"]) > FORMAT_VERSION:
            raise CheckpointError(f"{path}: has format version {header['format_version']}, newer than this pcakd reads")
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(f"{path}: is not a {kind} file") from None
    return tensors, header
