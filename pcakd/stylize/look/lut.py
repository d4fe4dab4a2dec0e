"""Colour tables (3D LUTs): one function of colour, as other programs take it.

.cube     text, 17, 33 or 65 colours a side (Adobe's specification 1.0); read with any side, domain and comments
.png      HaldCLUT of level 8, 64 colours a side, 16 bits a channel

Between its colours a table is interpolated trilinearly, as other readers do by default.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from pcakd.errors import CheckpointError, UsageError
from pcakd.photos.images import read_photo
from pcakd.photos.photo import Photo
from pcakd.photos.write import encode
from pcakd.stylize.look.look import Look
from pcakd.stylize.look.slicing import peak_of
from pcakd.stylize.strips import cut, map_strips

SIZES = (17, 33, 65)
HALD_LEVEL = 8
_MOST_SIDE = 256
_STRIP_PIXELS = 1 << 18


@dataclass(frozen=True)
class Lut:
    """A table of N×N×N colours.

    table: float32 (N, N, N, 3) by blue, green, red: what becomes of the colour (red, green, blue) / (N - 1).
    low, high: colours that the table's ends stand for, [0, 1] by default.
    """

    table: np.ndarray
    low: tuple[float, float, float] = (0.0, 0.0, 0.0)
    high: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @classmethod
    def of(cls, look: Look, size: int = 33) -> "Lut":
        """The table of a look that is one function of colour. Raises UsageError for one that knows place."""
        if look.knows_place or look.regions:
            raise UsageError("a table is one function of colour, and this look differs by place")
        steps = np.linspace(0, 1, size, dtype=np.float32)
        blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
        colours = np.stack([red, green, blue], -1).reshape(size * size, size, 3)
        return cls(look.apply(colours).reshape(size, size, size, 3))

    def apply(self, rgb: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        """A photo, uint8 or uint16 H×W×3 or float32 in [0, 1], through the table; of the same type, rounded once."""
        out = np.empty_like(rgb) if out is None else out
        volume = torch.from_numpy(self.table).permute(3, 0, 1, 2)[None].contiguous()
        low, high = (torch.tensor(ends, dtype=torch.float32) for ends in (self.low, self.high))
        peak = peak_of(rgb)

        def strip(start: int, stop: int) -> None:
            colours = torch.from_numpy(rgb[start:stop].astype(np.float32)) / peak
            place = (colours - low) / (high - low) * 2 - 1
            found = F.grid_sample(volume, place[None, None], mode="bilinear", padding_mode="border", align_corners=True)
            result = found[0, :, 0].permute(1, 2, 0).clamp(0, 1).numpy()
            out[start:stop] = result if out.dtype == np.float32 else result * peak + 0.5

        map_strips(strip, cut(len(rgb), max(1, _STRIP_PIXELS // rgb.shape[1])), torch.device("cpu"))
        return out

    def cube(self, title: str = "pcakd") -> bytes:
        """As the content of a .cube file: red changes fastest."""
        lines = [f'TITLE "{title}"', f"LUT_3D_SIZE {len(self.table)}"]
        for name, ends in (("DOMAIN_MIN", self.low), ("DOMAIN_MAX", self.high)):
            lines.append(f"{name} {' '.join(f'{value:g}' for value in ends)}")
        lines += [f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in self.table.reshape(-1, 3).tolist()]
        return ("\n".join(lines) + "\n").encode()

    def hald(self) -> bytes:
        """As the content of a HaldCLUT PNG of 16 bits; the table's side is a square number."""
        level = round(len(self.table) ** 0.5)
        if level**2 != len(self.table):
            raise UsageError(f"a HaldCLUT has a square number of colours a side, not {len(self.table)}")
        pixels = (self.table.reshape(level**3, level**3, 3) * 65535 + 0.5).astype(np.uint16)
        return encode(Photo(rgb=pixels, bits=16), "PNG", quality=95, name="HaldCLUT").data

    @classmethod
    def read(cls, path: str | os.PathLike) -> "Lut":
        """A .cube file or a HaldCLUT picture. Raises CheckpointError with what is wrong in it."""
        return _read_cube(Path(path)) if Path(path).suffix.lower() == ".cube" else _read_hald(Path(path))


def _read_cube(path: Path) -> Lut:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    size, ends, rows = 0, {"DOMAIN_MIN": (0.0, 0.0, 0.0), "DOMAIN_MAX": (1.0, 1.0, 1.0)}, []
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words or words[0] == "TITLE":
            continue
        try:
            if words[0] in ("LUT_1D_SIZE", "LUT_1D_INPUT_RANGE"):
                raise CheckpointError(f"{path}: is a table by channel (LUT_1D); give one of colours (LUT_3D)")
            if words[0] == "LUT_3D_SIZE":
                size = int(words[1])
            elif words[0] in ends:
                ends[words[0]] = _three(words[1:])
            elif words[0] == "LUT_3D_INPUT_RANGE":
                ends = {name: (float(word),) * 3 for name, word in zip(ends, words[1:3], strict=True)}
            else:
                rows.append(_three(words))
        except (ValueError, IndexError):
            raise CheckpointError(f"{path}: line {number} is {line.strip()[:40]!r}, which no .cube file has") from None
    if not 2 <= size <= _MOST_SIDE or len(rows) != size**3:
        raise CheckpointError(f"{path}: has {len(rows)} colours for LUT_3D_SIZE {size}, which wants {size**3}")
    table = np.array(rows, np.float32).reshape(size, size, size, 3)
    low, high = ends["DOMAIN_MIN"], ends["DOMAIN_MAX"]
    if not np.isfinite(table).all() or any(a >= b for a, b in zip(low, high, strict=True)):
        raise CheckpointError(f"{path}: has colours or a domain that are no numbers in order")
    return Lut(table, low, high)


def _three(words: list[str]) -> tuple[float, float, float]:
    red, green, blue = map(float, words)
    return red, green, blue


def _read_hald(path: Path) -> Lut:
    photo = read_photo(path, convert_profile=False)
    height, width = photo.size
    level = round(width ** (1 / 3))
    if height != width or level**3 != width or level < 2:
        raise CheckpointError(f"{path}: is a picture of {width}×{height} pixels, no HaldCLUT (its side is a cube: 512)")
    table = photo.rgb.astype(np.float32) / peak_of(photo.rgb)
    return Lut(table.reshape(level**2, level**2, level**2, 3))
