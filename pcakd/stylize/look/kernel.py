"""Slicing compiled by Numba: the arithmetic of `pcakd.stylize.look.slicing`, operation for operation.

Many times as fast as tensors on a CPU core. Numba compiles it at its first use and keeps the machine code beside
this file, or in the user's cache folder. No operation is fused or reordered: the bytes are those of the tensors' path,
and a test holds them together.
"""

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

_F, _AT = np.float32, np.uintp
_ZERO, _HALF, _ONE = _F(0), _F(0.5), _F(1)
_MAP = 16
"""Numbers of a colour map in the kernel's table: what red, green, blue and 1 give to three channels and one more, so
that each four are a vector."""


def _compiled(function):
    # Of fast maths only what leaves the values of finite numbers alone.
    options: dict = {"nogil": True, "error_model": "numpy", "fastmath": {"nnan", "ninf", "nsz"}}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to keep the machine code in
        return numba.njit(**options)(function)


@_compiled
def slice_rows(grid, pixels, out, first, rows, columns, tone, scale, grade, weight, strength):
    """Rows of a photo through a grid: see `slicing.Slicer`, whose parts the arguments are.

    rows, columns: (cells int32, shares float32) of every row of the photo, of every column. tone: luma's three
    factors times the grid's steps of brightness. scale: (into [0, 1], back, what is added before cutting).
    """
    upper, down = rows
    left, right = columns
    _, across, levels, _ = grid.shape
    height, width, _ = pixels.shape
    table = np.zeros(across * levels * _MAP, _F)
    red, green, blue = np.empty(width, _F), np.empty(width, _F), np.empty(width, _F)
    w00, w01, w10, w11 = np.empty(width, _F), np.empty(width, _F), np.empty(width, _F), np.empty(width, _F)
    corner = np.empty(width, np.int32)
    result = np.empty((3, width), _F)
    last = np.int32(levels - 2)
    next_column = _AT(levels * _MAP)
    into, back, half = scale
    for i in range(height):
        y, fy = upper[first + i], down[first + i]
        for x in range(across):
            for level in range(levels):
                for k in range(12):
                    a = grid[y, x, level, k]
                    place = (x * levels + level) * _MAP + k // 3 * 4 + k % 3
                    table[place] = a + fy * (grid[y + 1, x, level, k] - a)
        for j in range(width):
            red[j] = _F(pixels[i, j, 0]) * into
            green[j] = _F(pixels[i, j, 1]) * into
            blue[j] = _F(pixels[i, j, 2]) * into
        for j in range(width):
            depth = (red[j] * tone[0] + green[j] * tone[1]) + blue[j] * tone[2]
            z = max(min(np.int32(depth), last), np.int32(0))  # whatever the colour, no other memory is read
            fx, fz = right[j], depth - _F(z)
            corner[j] = (left[j] * np.int32(levels) + z) * np.int32(_MAP)
            both = fx * fz
            w11[j] = both
            w10[j] = fx - both
            w01[j] = fz - both
            w00[j] = (_ONE - fx) - w01[j]
        for j in range(width):
            q = _AT(corner[j])
            weights, colour = (w00[j], w01[j], w10[j], w11[j]), (red[j], green[j], blue[j])
            result[0, j], result[1, j], result[2, j] = _mapped(table, q, q + next_column, weights, colour)  # type: ignore[call-arg]
        for c in range(3):
            for j in range(width):
                v = result[c, j]
                v = v if v > _ZERO else _ZERO
                result[c, j] = v if v < _ONE else _ONE
        if weight > _ZERO:
            _mix_grade(result, (red, green, blue), grade, weight, strength)
        for j in range(width):
            out[i, j, 0] = result[0, j] * back + half
            out[i, j, 1] = result[1, j] * back + half
            out[i, j, 2] = result[2, j] * back + half


@intrinsic
def _mapped(_context, table, q, p, weights, colour):
    """A colour (r, g, b) through the map between four neighbours: two from `q` on, two from `p` on, each `_MAP` after
    the other; their weights. In vectors of eight, which Numba, that leaves LLVM's SLP vectorizer out, does not make of
    one number after the other.

    map = ((w00·q + w01·next q) + w10·p) + w11·next p;  result = ((red·map[0] + green·map[1]) + blue·map[2]) + map[3]
    """
    signature = types.UniTuple(types.float32, 3)(table, types.uintp, types.uintp, weights, colour)
    word, lane = ir.FloatType(), ir.IntType(32)
    eight = ir.VectorType(word, 8)

    def generate(context, builder, signature, arguments):
        table, q, p, weights, colour = arguments
        data = make_array(signature.args[0])(context, builder, table).data

        def filled(*values):
            """Each of the values in as many lanes."""
            vector = ir.Constant(eight, ir.Undefined)
            for k in range(8):
                vector = builder.insert_element(vector, values[k * len(values) // 8], lane(k))
            return vector

        def at(place, beyond):
            pointer = builder.gep(data, [builder.add(place, place.type(beyond))])
            return builder.load(builder.bitcast(pointer, eight.as_pointer()), align=4)

        def half(vector, start):
            lanes = ir.Constant(ir.VectorType(lane, 4), [lane(start + k) for k in range(4)])
            return builder.shuffle_vector(vector, vector, lanes)

        shares = [filled(weight) for weight in cgutils.unpack_tuple(builder, weights)]
        red, green, blue = cgutils.unpack_tuple(builder, colour)
        parts = []
        for start, factors in ((0, filled(red, green)), (8, filled(blue, ir.Constant(word, 1.0)))):
            corners = [at(q, start), at(q, start + _MAP), at(p, start), at(p, start + _MAP)]
            terms = [builder.fmul(share, corner) for share, corner in zip(shares, corners, strict=True)]
            mixed = builder.fmul(_sum(builder, terms), factors)
            parts += [half(mixed, 0), half(mixed, 4)]
        total = _sum(builder, parts)
        return context.make_tuple(
            builder, signature.return_type, [builder.extract_element(total, lane(c)) for c in range(3)]
        )

    return signature, generate


def _sum(builder, terms):
    total = terms[0]
    for term in terms[1:]:
        total = builder.fadd(total, term)
    return total


@_compiled
def _mix_grade(result, colours, grade, weight, strength):
    """Mix the grade of colours (red, green, blue), each (W,), into a result (3, W).

    grade (17, 3): the matrix's rows by source channel, the bias, then the polynomial of `cubic_basis`.
    """
    red, green, blue = colours
    graded = np.empty((3, len(red)), _F)
    for c in range(3):
        by_red, by_green, by_blue, bias = grade[0, c], grade[1, c], grade[2, c], grade[3, c]
        for j in range(len(red)):
            graded[c, j] = ((red[j] * by_red + green[j] * by_green) + blue[j] * by_blue) + bias
    # A channel at a time, its factors in registers: loops over pixels become vectors.
    for c in range(3):
        one, by_x, by_y, by_z = grade[4, c], grade[5, c], grade[6, c], grade[7, c]
        by_xx, by_xy, by_xz = grade[8, c], grade[9, c], grade[10, c]
        by_yy, by_yz, by_zz = grade[11, c], grade[12, c], grade[13, c]
        by_xxx, by_yyy, by_zzz = grade[14, c], grade[15, c], grade[16, c]
        own = colours[c]
        for j in range(len(red)):
            x, y, z = graded[0, j] - _HALF, graded[1, j] - _HALF, graded[2, j] - _HALF
            xx, yy, zz = x * x, y * y, z * z
            v = graded[c, j] + one
            v = v + x * by_x
            v = v + y * by_y
            v = v + z * by_z
            v = v + xx * by_xx
            v = v + (x * y) * by_xy
            v = v + (x * z) * by_xz
            v = v + yy * by_yy
            v = v + (y * z) * by_yz
            v = v + zz * by_zz
            v = v + (xx * x) * by_xxx
            v = v + (yy * y) * by_yyy
            v = v + (zz * z) * by_zzz
            v = v if v > _ZERO else _ZERO
            v = v if v < _ONE else _ONE
            v = own[j] + strength * (v - own[j])
            result[c, j] = result[c, j] + weight * (v - result[c, j])
