"""A style: what the transforms need to know of one photo or several, computed once, saved, applied many times."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save

from pcakd.errors import CheckpointError, UsageError
from pcakd.files import write_atomic
from pcakd.student.checkpoint import read_tensors
from pcakd.student.network import LEVELS
from pcakd.stylize.cells import Cells, pool_cells
from pcakd.stylize.transforms import Statistics

FORMAT_VERSION = 1
_KEY = "pcakd-style"


@dataclass(frozen=True)
class Style:
    """Style statistics of every level, as one student sees them.

    levels: level 0..3 → mean and covariance of that level's features (float64).
    model:  digest of the student they were computed with; only that student can use them.
    weight: how much the style counts in a mix.
    cells:  what the matched grade needs (see `pcakd.stylize.matched_grade`), or None: then it is not used.
    small:  levels of the photo's small copy, which looks are made with (see `pcakd.stylize.look`); None in styles
            that were saved before there were looks: these are made with `levels` then. A style for looks alone has
            no `levels`.
    colours: mean and covariance of the small copy's RGB in [0, 1], which looks take their chroma from; None in styles
            that were saved before looks did.
    """

    levels: tuple[Statistics, ...]
    model: str
    weight: float = 1.0
    cells: Cells | None = None
    small: tuple[Statistics, ...] | None = None
    colours: Statistics | None = None

    def __post_init__(self) -> None:
        parts = (*self.levels, *(self.small or ()), self.cells or (), self.colours or ())
        if not all(torch.isfinite(t).all() for part in parts for t in part):
            raise UsageError("style statistics have values that are not finite")

    def to_bytes(self) -> bytes:
        """The style as the content of a safetensors file (float64: loading gives the same pixels)."""
        tensors = {}
        for prefix, levels in (("", self.levels), ("small.", self.small or ())):
            for level, statistics in enumerate(levels):
                tensors[f"{prefix}mean.{level}"] = statistics.mean.contiguous()
                tensors[f"{prefix}covariance.{level}"] = statistics.covariance.contiguous()
        if self.colours is not None:
            tensors |= {f"colours.{name}": tensor.contiguous() for name, tensor in self.colours._asdict().items()}
        if self.cells is not None:
            tensors |= {f"cells.{name}": tensor.contiguous() for name, tensor in self.cells._asdict().items()}
        header = {"format_version": FORMAT_VERSION, "model": self.model, "weight": self.weight}
        return save(tensors, metadata={_KEY: json.dumps(header, sort_keys=True)})

    def save(self, path: str | os.PathLike) -> None:
        """Write the style to a `.safetensors` file, whole or not at all."""
        write_atomic(path, self.to_bytes())

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Style":
        """Read a style that `save` wrote. Raises CheckpointError if the file is something else."""
        tensors, header = read_tensors(Path(path))
        try:
            record = json.loads(header[_KEY])
            if record["format_version"] > FORMAT_VERSION:
                raise CheckpointError(f"{path}: was saved by a newer pcakd; update pcakd")
            small = _read_levels(tensors, "small.") if "small.mean.0" in tensors else None
            levels = _read_levels(tensors, "") if small is None or "mean.0" in tensors else ()
            cells = Cells(*found) if (found := _read_parts(tensors, "cells", Cells._fields)) else None
            colours = Statistics(*found) if (found := _read_parts(tensors, "colours", Statistics._fields)) else None
            return cls(levels, record["model"], float(record["weight"]), cells, small, colours)
        except (KeyError, ValueError, TypeError):
            raise CheckpointError(f"{path}: is not a saved style") from None


def _read_parts(tensors: Mapping[str, torch.Tensor], prefix: str, names: Sequence[str]) -> list[torch.Tensor]:
    return [tensors[f"{prefix}.{name}"] for name in names if f"{prefix}.{name}" in tensors]


def _read_levels(tensors: Mapping[str, torch.Tensor], prefix: str) -> tuple[Statistics, ...]:
    return tuple(
        Statistics(tensors[f"{prefix}mean.{level}"], tensors[f"{prefix}covariance.{level}"]) for level in range(LEVELS)
    )


def mix_styles(styles: Sequence[Style]) -> Style:
    """One style from several, each counted by its `weight`: the statistics of all their pixels pooled.

    Pooling keeps the spread between the photos' means in the covariance, as if they were one photo.
    Raises UsageError if there is none, a weight is not positive, or the models differ.
    """
    if not styles:
        raise UsageError("a style needs at least one photo")
    if len({style.model for style in styles}) > 1:
        raise UsageError("styles computed with different models cannot be mixed")
    if len(styles) == 1:
        return styles[0]
    total = sum(style.weight for style in styles)
    if total <= 0 or any(style.weight < 0 for style in styles):
        raise UsageError("style weights are 0 or more, and not all 0")
    shares = [style.weight / total for style in styles]
    # A style that lacks what others have makes a mix that lacks it, too.
    levels = _pool_levels([style.levels for style in styles], shares) if all(style.levels for style in styles) else ()
    small = [style.small or style.levels for style in styles]
    cells = [style.cells for style in styles if style.cells is not None]
    colours = [(style.colours,) for style in styles if style.colours is not None]
    return Style(
        levels,
        styles[0].model,
        total,
        pool_cells(cells) if len(cells) == len(styles) else None,
        _pool_levels(small, shares) if any(style.small for style in styles) else None,
        _pool_levels(colours, shares)[0] if len(colours) == len(styles) else None,
    )


def _pool_levels(all_levels: Sequence[tuple[Statistics, ...]], shares: Sequence[float]) -> tuple[Statistics, ...]:
    pooled = []
    for statistics in zip(*all_levels, strict=True):
        mean = sum(share * s.mean for share, s in zip(shares, statistics, strict=True))
        covariance = sum(
            share * (s.covariance + torch.outer(s.mean - mean, s.mean - mean))
            for share, s in zip(shares, statistics, strict=True)
        )
        pooled.append(Statistics(mean, covariance))
    return tuple(pooled)
