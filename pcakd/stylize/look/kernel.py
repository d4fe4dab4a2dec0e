"""Slicing compiled by Numba: the arithmetic of `pcakd.stylize.look.slicing`, operation for operation.

Several times as fast as tensors on a CPU core. Numba compiles it at its first use and keeps the machine code beside
this file, or in the user's cache folder. No operation is fused or reordered: the bytes are those of the tensors' path,
and a test holds them together.
"""

import numba
import numpy as np

_F = np.float32
_ZERO, _HALF, _ONE = _F(0), _F(0.5), _F(1)


def _compiled(function):
    # Of fast maths only what leaves the values of finite numbers alone.
    options: dict = {"nogil": True, "error_model": "numpy", "fastmath": {"nnan", "ninf", "nsz"}}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to keep the machine code in
        return numba.njit(**options)(function)


@_compiled
def slice_rows(grid, pixels, out, first, rows, columns, tone, scale, grade, weight, strength):
    """Rows of a photo through a grid: see `slicing.slice_rows`, whose arguments these are, taken apart.

    rows, columns: (cells int32, shares float32) of every row of the photo, of every column. tone: luma's three
    factors times the grid's steps of brightness. scale: (into [0, 1], back, what is added before cutting).
    """
    upper, down = rows
    left, right = columns
    _, across, levels, _ = grid.shape
    height, width, _ = pixels.shape
    table = np.empty((12, across * levels), _F)
    red, green, blue = np.empty(width, _F), np.empty(width, _F), np.empty(width, _F)
    w00, w01, w10, w11 = np.empty(width, _F), np.empty(width, _F), np.empty(width, _F), np.empty(width, _F)
    corner = np.empty(width, np.int32)
    result = np.empty((3, width), _F)
    last = np.int32(levels - 2)
    into, back, half = scale
    for i in range(height):
        y, fy = upper[first + i], down[first + i]
        for x in range(across):
            for level in range(levels):
                for k in range(12):
                    a = grid[y, x, level, k]
                    table[k, x * levels + level] = a + fy * (grid[y + 1, x, level, k] - a)
        for j in range(width):
            red[j] = _F(pixels[i, j, 0]) * into
            green[j] = _F(pixels[i, j, 1]) * into
            blue[j] = _F(pixels[i, j, 2]) * into
        for j in range(width):
            depth = (red[j] * tone[0] + green[j] * tone[1]) + blue[j] * tone[2]
            z = min(np.int32(depth), last)
            fx, fz = right[j], depth - _F(z)
            corner[j] = left[j] * np.int32(levels) + z
            both = fx * fz
            w11[j] = both
            w10[j] = fx - both
            w01[j] = fz - both
            w00[j] = (_ONE - fx) - w01[j]
        for c in range(3):
            for j in range(width):
                q = corner[j]
                p = q + levels
                v = ((w00[j] * table[c, q] + w01[j] * table[c, q + 1]) + w10[j] * table[c, p]) + w11[j] * table[
                    c, p + 1
                ]
                total = v * red[j]
                k = 3 + c
                v = ((w00[j] * table[k, q] + w01[j] * table[k, q + 1]) + w10[j] * table[k, p]) + w11[j] * table[
                    k, p + 1
                ]
                total = total + v * green[j]
                k = 6 + c
                v = ((w00[j] * table[k, q] + w01[j] * table[k, q + 1]) + w10[j] * table[k, p]) + w11[j] * table[
                    k, p + 1
                ]
                total = total + v * blue[j]
                k = 9 + c
                v = ((w00[j] * table[k, q] + w01[j] * table[k, q + 1]) + w10[j] * table[k, p]) + w11[j] * table[
                    k, p + 1
                ]
                total = total + v
                total = total if total > _ZERO else _ZERO
                result[c, j] = total if total < _ONE else _ONE
        if weight > _ZERO:
            _mix_grade(result, red, green, blue, grade, weight, strength)
        for j in range(width):
            out[i, j, 0] = result[0, j] * back + half
            out[i, j, 1] = result[1, j] * back + half
            out[i, j, 2] = result[2, j] * back + half


@_compiled
def _mix_grade(result, red, green, blue, grade, weight, strength):
    """grade (17, 3): the matrix's rows by source channel, the bias, then the polynomial of `cubic_basis`."""
    for j in range(len(red)):
        r = ((red[j] * grade[0, 0] + green[j] * grade[1, 0]) + blue[j] * grade[2, 0]) + grade[3, 0]
        g = ((red[j] * grade[0, 1] + green[j] * grade[1, 1]) + blue[j] * grade[2, 1]) + grade[3, 1]
        b = ((red[j] * grade[0, 2] + green[j] * grade[1, 2]) + blue[j] * grade[2, 2]) + grade[3, 2]
        x, y, z = r - _HALF, g - _HALF, b - _HALF
        xx, yy, zz = x * x, y * y, z * z
        for c in range(3):
            v = r if c == 0 else (g if c == 1 else b)
            v = v + grade[4, c]
            v = v + x * grade[5, c]
            v = v + y * grade[6, c]
            v = v + z * grade[7, c]
            v = v + xx * grade[8, c]
            v = v + (x * y) * grade[9, c]
            v = v + (x * z) * grade[10, c]
            v = v + yy * grade[11, c]
            v = v + (y * z) * grade[12, c]
            v = v + zz * grade[13, c]
            v = v + (xx * x) * grade[14, c]
            v = v + (yy * y) * grade[15, c]
            v = v + (zz * z) * grade[16, c]
            v = v if v > _ZERO else _ZERO
            v = v if v < _ONE else _ONE
            own = red[j] if c == 0 else (green[j] if c == 1 else blue[j])
            v = own + strength * (v - own)
            result[c, j] = result[c, j] + weight * (v - result[c, j])
