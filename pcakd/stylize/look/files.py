"""Looks as files: our own grid file, and tables for other programs (see `pcakd.stylize.look.lut`)."""

import json
import os
from pathlib import Path

import torch
from safetensors.torch import save

from pcakd.errors import CheckpointError, UsageError
from pcakd.files import write_atomic
from pcakd.student.checkpoint import read_tensors
from pcakd.stylize.look.look import Look
from pcakd.stylize.look.lut import HALD_LEVEL, Lut
from pcakd.stylize.matched_grade import NO_GRADE, MatchedGrade

FORMAT_VERSION = 1
SUFFIXES = (".safetensors", ".cube", ".png")
_KEY = "pcakd-look"
_GRADE = ("matrix", "bias", "polynomial")


def look_bytes(look: Look) -> bytes:
    """A look as the content of a safetensors file. Raises UsageError for one with regions: these belong to one mask."""
    if look.regions:
        raise UsageError("a look with regions belongs to one photo and its mask, and is not saved")
    tensors = {"grid": look.grid.contiguous()}
    tensors |= {f"grade.{name}": getattr(look.grade, name).contiguous() for name in _GRADE}
    header = {"format_version": FORMAT_VERSION, "strength": look.strength, "grade_weight": look.grade.weight}
    return save(tensors, metadata={_KEY: json.dumps(header, sort_keys=True)})


def read_look(path: str | os.PathLike) -> Look:
    """A look that `look_bytes` made. Raises CheckpointError if the file is something else."""
    tensors, header = read_tensors(Path(path))
    try:
        record = json.loads(header[_KEY])
        if record["format_version"] > FORMAT_VERSION:
            raise CheckpointError(f"{path}: was saved by a newer pcakd; update pcakd")
        grade = MatchedGrade(float(record["grade_weight"]), *(tensors[f"grade.{name}"].double() for name in _GRADE))
        look = Look(tensors["grid"].float(), grade if grade.weight else NO_GRADE, strength=float(record["strength"]))
        good = (
            look.grid.ndim == 4 and look.grid.shape[-1] == 12 and all(torch.isfinite(t).all() for t in tensors.values())
        )
    except (KeyError, ValueError, TypeError):
        raise CheckpointError(f"{path}: is not a saved look") from None
    if not good:
        raise CheckpointError(f"{path}: has a grid that no look has")
    return look


def check_suffix(path: Path) -> str:
    """The suffix of a look's file. Raises UsageError naming those that there are."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path}: a look has the suffix {', '.join(SUFFIXES)}")
    return suffix


def write_look(look: Look, path: Path, *, size: int = 33) -> None:
    """Write a look as its suffix says, whole or not at all. size: colours a side of a .cube table.

    Tables need a look that is one function of colour: UsageError for another.
    """
    suffix = check_suffix(path)
    if suffix == ".safetensors":
        write_atomic(path, look_bytes(look))
    elif suffix == ".cube":
        write_atomic(path, Lut.of(look, size).cube(title=path.stem.replace('"', "")))
    else:
        write_atomic(path, Lut.of(look, HALD_LEVEL**2).hald())


def open_look(path: Path) -> Look | Lut:
    """What a file has: a look, or a table. Raises CheckpointError, PhotoError for what it cannot have."""
    return read_look(path) if check_suffix(path) == ".safetensors" else Lut.read(path)
