"""A photo of any size through a bilateral grid of colour maps: what a look costs a photo.

The grid is G = (Y, X, Z, 12): at each place and brightness a 4×3 matrix that takes (r, g, b, 1) to a colour, [0, 1]
both. Every pixel takes the map between its eight neighbours: its row and column say the place, its luma the
brightness. Each pixel is by itself, so strips and threads change nothing, and the photo may be written over.

On a CPU large photos go through a kernel (`pcakd.stylize.look.kernel`), small ones, and others, through tensors:
loading the kernel takes longer than a small photo does. Both do the same operations in the same order, in float32,
and give the same bytes.
"""

import importlib.util
import sys
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from pcakd.luma import REC_601
from pcakd.stylize.matched_grade import NO_GRADE, MatchedGrade
from pcakd.stylize.strips import cut, map_strips

KERNEL_FROM = 4 << 20
"""Pixels from which on a photo is worth loading the kernel for (a second, once a process)."""

STRIP_PIXELS = 1 << 16
"""Pixels that go through the tensors' path at a time: their maps stay in the caches."""


@dataclass(frozen=True)
class Slicer:
    """A grid and a grade on top, ready for photos of one size.

    grid:     float32 (Y, X, Z, 12); along a side of one node nothing changes, to the bit.
    size:     (height, width) of the whole photo.
    grade:    mixed into the result by its weight, `strength` being its own.
    """

    grid: Tensor
    size: tuple[int, int]
    grade: MatchedGrade = NO_GRADE
    strength: float = 1.0

    @cached_property
    def nodes(self) -> Tensor:
        """The grid with two nodes or more a side, as a pixel goes between two: one alone is both."""
        down, across, levels = (side == 1 for side in self.grid.shape[:3])
        return self.grid.repeat(1 + down, 1 + across, 1 + levels, 1).contiguous()

    @cached_property
    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Cell (int32) and share (float32) of every row."""
        return _places(self.size[0], self.grid.shape[0])

    @cached_property
    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Cell and share of every column."""
        return _places(self.size[1], self.grid.shape[1])

    @cached_property
    def tone(self) -> np.ndarray:
        """Luma's factors, in steps of the grid's brightness."""
        return (np.array(REC_601) * (self.grid.shape[2] - 1)).astype(np.float32)

    @cached_property
    def grade_table(self) -> np.ndarray:
        """float32 (17, 3): matrix by source channel, bias, polynomial."""
        grade = self.grade
        return torch.cat([grade.matrix.T, grade.bias[None], grade.polynomial]).to(torch.float32).numpy()

    def into(self, pixels: np.ndarray, out: np.ndarray, device: torch.device) -> None:
        """The photo, uint8 or uint16 H×W×3 or float32 in [0, 1], into `out`, of the same shape and uint8, uint16 or
        float32; `out` may be the photo itself."""
        height, width = pixels.shape[:2]
        compiled = device.type == "cpu" and has_kernel(height * width)
        at_a_time = STRIP_PIXELS * (16 if compiled else 1 if device.type == "cpu" else 64)

        def strip(start: int, stop: int) -> None:
            self.strip(pixels[start:stop], out[start:stop], start, device, compiled)

        map_strips(strip, cut(height, max(1, at_a_time // width)), device)

    def strip(self, pixels: np.ndarray, out: np.ndarray, first: int, device: torch.device, compiled: bool) -> None:
        """Rows of the photo from `first` on; compiled: by the kernel."""
        (self._compiled if compiled else self._by_tensors)(pixels, out, first, device)

    def _compiled(self, pixels: np.ndarray, out: np.ndarray, first: int, device: torch.device) -> None:
        from pcakd.stylize.look.kernel import slice_rows

        weight, strength = np.float32(self.grade.weight), np.float32(self.strength)
        places = (self.rows, self.columns)
        slice_rows(
            self.nodes.numpy(),
            pixels,
            out,
            first,
            *places,
            self.tone,
            _scale(pixels, out),
            self.grade_table,
            weight,
            strength,
        )

    def _by_tensors(self, pixels: np.ndarray, out: np.ndarray, first: int, device: torch.device) -> None:
        height, width = pixels.shape[:2]
        _, across, levels, _ = self.nodes.shape
        (upper, down), (left, right) = (
            [torch.from_numpy(part).to(device) for part in places] for places in (self.rows, self.columns)
        )
        tone, (into, back, half) = self.tone.tolist(), [float(value) for value in _scale(pixels, out)]
        grid = self.nodes.to(device)
        y, fy = upper[first : first + height].long(), down[first : first + height]
        table = grid[y] + fy[:, None, None, None] * (grid[y + 1] - grid[y])
        table = table.reshape(-1, 12)  # row by row: (height·X·Z, 12)
        rgb = torch.from_numpy(pixels.astype(np.float32)).to(device) * into
        red, green, blue = rgb.unbind(-1)
        depth = (red * tone[0] + green * tone[1]) + blue * tone[2]
        z = depth.int().clamp(0, levels - 2)
        fx, fz = right[None], depth - z
        row = torch.arange(height, device=device)[:, None]
        corner = ((row * across + left[None].long()) * levels + z).flatten()
        w11 = fx * fz
        w10, w01 = fx - w11, fz - w11
        w00 = (1 - fx) - w01
        maps = w00.reshape(-1, 1) * table[corner]
        for weight, step in ((w01, 1), (w10, levels), (w11, levels + 1)):
            maps = maps + weight.reshape(-1, 1) * table[corner + step]
        maps = maps.view(height, width, 4, 3)
        result = maps[..., 0, :] * rgb[..., :1]
        result = result + maps[..., 1, :] * rgb[..., 1:2]
        result = result + maps[..., 2, :] * rgb[..., 2:]
        result = (result + maps[..., 3, :]).clamp(0, 1)
        if self.grade.weight > 0:
            result = self._graded(result, rgb)
        result = (result * back + half).cpu().numpy()
        out[...] = result if out.dtype == np.float32 else result.astype(out.dtype)

    def _graded(self, result: Tensor, rgb: Tensor) -> Tensor:
        table = torch.from_numpy(self.grade_table).to(rgb)
        weight, strength = float(np.float32(self.grade.weight)), float(np.float32(self.strength))
        value = ((rgb[..., :1] * table[0] + rgb[..., 1:2] * table[1]) + rgb[..., 2:] * table[2]) + table[3]
        x, y, z = (value - 0.5).split(1, -1)
        basis = (x, y, z, x * x, x * y, x * z, y * y, y * z, z * z, (x * x) * x, (y * y) * y, (z * z) * z)
        value = value + table[4]
        for term, factors in zip(basis, table[5:], strict=True):
            value = value + term * factors
        value = value.clamp(0, 1)
        value = rgb + strength * (value - rgb)
        return result + weight * (value - result)


def has_kernel(pixels: int) -> bool:
    """Whether a photo of so many pixels goes through the kernel: it pays, or is loaded, and Numba is there."""
    if "pcakd.stylize.look.kernel" in sys.modules:
        return True
    return pixels >= KERNEL_FROM and importlib.util.find_spec("numba") is not None


def load_kernel() -> None:
    """Let every photo of this process go through the kernel, where Numba is there: for processes of many photos."""
    if importlib.util.find_spec("numba") is not None:
        importlib.import_module("pcakd.stylize.look.kernel")


def peak_of(array: np.ndarray) -> float:
    """The value that stands for 1: 255, 65535, or 1 of float32."""
    return 1.0 if array.dtype == np.float32 else float(np.iinfo(array.dtype).max)


def _scale(pixels: np.ndarray, out: np.ndarray) -> tuple[np.float32, np.float32, np.float32]:
    """(into [0, 1], back, what rounds when the rest is cut off)."""
    half = 0.0 if out.dtype == np.float32 else 0.5
    return np.float32(1 / peak_of(pixels)), np.float32(peak_of(out)), np.float32(half)


def _places(pixels: int, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of so many pixels in a row the node before its centre, and its share of the way to the next."""
    place = (np.arange(pixels) + 0.5) / pixels * (nodes - 1)
    node = np.minimum(place.astype(np.int32), max(nodes - 2, 0))
    return node, (place - node).astype(np.float32)
