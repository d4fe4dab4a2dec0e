"""The guided filter on a CPU: running sums down the rows, prefix sums along them, a few rows at a time.

Every window sum of the guide, the source and their products is a sum of whole numbers, kept exactly in 32 bits.
Only the second pass, over the slopes, adds up rounding, and starts afresh every `RESTART` rows: the result is
the same to the bit however many threads share the rows.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from pcakd.stylize.strips import map_strips, strips_at_once

RESTART = 64
"""Rows after which the running sums of slopes are summed anew; threads take bands of whole multiples."""

BLOCK_PIXELS = 20480
"""Pixels that are taken through all steps at a time: their 21 maps stay in the caches."""

_MAPS = 21  # 3 guide, 3 source, 6 guide×guide, 9 guide×source
_CENTRE = 128  # products of centred pixels fit 16 bits, and so does the difference of two


def filter_pixels(source: Tensor, guide: Tensor, *, radius: int, epsilon: float) -> Tensor:
    """Guided filter of uint8 H×W×3 by a colour guide uint8 H×W×3: uint8 H×W×3."""
    height = source.shape[0]
    out = torch.empty_like(source, memory_format=torch.contiguous_format)
    threads = strips_at_once()
    units = -(-height // RESTART)
    bounds = [min(round(i * units / threads) * RESTART, height) for i in range(threads + 1)]
    bands = [(a, b) for a, b in pairwise(bounds) if a < b]

    def band(start: int, stop: int) -> None:
        _Band(source, guide, radius, epsilon).filter(start, stop, out)

    map_strips(band, bands, source.device)
    return out


class _Band:
    """One thread's work."""

    def __init__(self, source: Tensor, guide: Tensor, radius: int, epsilon: float) -> None:
        self.source, self.guide, self.radius, self.epsilon = source, guide, radius, epsilon
        self.height, self.width = source.shape[:2]
        self.block = max(1, min(BLOCK_PIXELS // self.width, RESTART // 2))
        columns = torch.arange(-radius - 1, self.width + radius)
        reflected = _reflect(columns, self.width) + radius + 1
        self.left, self.right = reflected[: radius + 1], reflected[radius + 1 + self.width :]
        self.inner = slice(radius + 1, radius + 1 + self.width)
        self.window = float((2 * radius + 1) ** 2)

    def filter(self, start: int, stop: int, out: Tensor) -> None:
        """Write rows start..stop of the result; start is a multiple of RESTART."""
        r, width = self.radius, self.width
        ring_rows = 2 * r + 2 + 2 * self.block
        ring = torch.empty(ring_rows, 12, width)
        slopes = self._slopes(max(start - r, 0), min(stop + r, self.height))
        ready = max(start - r, 0)  # slopes of rows before this one are in the ring, at row modulo its length
        sums = torch.empty(self.block, 12, width + 2 * r + 1)
        previous = torch.empty(12, width)
        for first in range(start, stop, self.block):
            last = min(first + self.block, stop)
            while ready < min(last + r, self.height):
                rows = next(slopes)
                for row in rows:
                    ring[ready % ring_rows] = row
                    ready += 1
            entering = (_reflect(torch.arange(first, last) + r, self.height) % ring_rows).tolist()
            leaving = (_reflect(torch.arange(first, last) - r - 1, self.height) % ring_rows).tolist()
            for i, row in enumerate(range(first, last)):
                current = sums[i, :, self.inner]
                if row % RESTART == 0:
                    around = _reflect(torch.arange(row - r, row + r + 1), self.height) % ring_rows
                    torch.sum(ring[around], dim=0, out=previous)
                    current.copy_(previous)
                else:
                    torch.add(previous, ring[entering[i]], out=previous).sub_(ring[leaving[i]])
                    current.copy_(previous)
            mean = self._along_rows(sums[: last - first]).div_(self.window)
            guide = self._planes(self.guide, torch.arange(first, last)).float()
            result = mean[:, 9:]
            for c in range(3):
                result.addcmul_(mean[:, c:9:3], guide[:, c : c + 1])
            result.add_(_CENTRE).round_().clamp_(0, 255)
            out[first:last] = result.to(torch.uint8).permute(0, 2, 1)

    def _slopes(self, start: int, stop: int) -> Iterator[Tensor]:
        """For rows start..stop, block by block: n×12×W, for source channel k the slopes 3k..3k+2, then 3 offsets."""
        r = self.radius
        around = torch.arange(start - r, start + r + 1)
        total = sum(self._products(rows).sum(0, dtype=torch.int32) for rows in around.split(self.block))
        sums = torch.empty(self.block, _MAPS, self.width + 2 * r + 1, dtype=torch.int32)
        for first in range(start, stop, self.block):
            rows = torch.arange(first, min(first + self.block, stop))
            steps = (self._products(rows + r) - self._products(rows - r - 1)).int()
            for i, row in enumerate(rows.tolist()):
                if row > start:
                    total = total + steps[i] if i == 0 else torch.add(sums[i - 1], steps[i], out=sums[i])
                if i == 0 or row == start:
                    sums[i] = total
            total = sums[len(rows) - 1].clone()
            yield self._solve(self._along_rows(sums[: len(rows)]).float().div_(self.window))

    def _products(self, rows: Tensor) -> Tensor:
        """Guide, source and products of rows (reflected at the borders), int16 n×21×(W+2r+1)."""
        r = self.radius
        maps = torch.empty(len(rows), _MAPS, self.width + 2 * r + 1, dtype=torch.int16)
        reflected = _reflect(rows, self.height)
        maps[:, 0:3, self.inner] = self._planes(self.guide, reflected)
        maps[:, 3:6, self.inner] = self._planes(self.source, reflected)
        base = maps[:, :6]
        base[..., : r + 1] = base[..., self.left]
        base[..., self.inner.stop :] = base[..., self.right]
        guide = maps[:, :3]
        torch.mul(guide, guide[:, :1], out=maps[:, 6:9])
        torch.mul(guide[:, 1:], guide[:, 1:2], out=maps[:, 9:11])
        torch.mul(guide[:, 2:], guide[:, 2:], out=maps[:, 11:12])
        for k in range(3):
            torch.mul(guide, maps[:, 3 + k : 4 + k], out=maps[:, 12 + 3 * k : 15 + 3 * k])
        return maps

    def _planes(self, picture: Tensor, rows: Tensor) -> Tensor:
        """Rows of a picture, centred, int16 n×3×W."""
        return picture[rows].permute(0, 2, 1).to(torch.int16, memory_format=torch.contiguous_format).sub_(_CENTRE)

    def _along_rows(self, sums: Tensor) -> Tensor:
        """Window sums along rows of n×C×(W+2r+1), whose borders are filled here: n×C×W."""
        r = self.radius
        sums[..., : r + 1] = sums[..., self.left]
        sums[..., self.inner.stop :] = sums[..., self.right]
        prefix = torch.cumsum(sums, dim=-1, dtype=sums.dtype)
        return prefix[..., 2 * r + 1 :] - prefix[..., : self.width]

    def _solve(self, mean: Tensor) -> Tensor:
        """Window means n×21×W → slopes and offsets n×12×W."""
        guide, source = mean[:, 0:3], mean[:, 3:6]
        pairs = mean[:, 6:12]
        pairs[:, 0:3].addcmul_(guide, guide[:, :1], value=-1)
        pairs[:, 3:5].addcmul_(guide[:, 1:], guide[:, 1:2], value=-1)
        pairs[:, 5:6].addcmul_(guide[:, 2:], guide[:, 2:], value=-1)
        for i in (0, 3, 5):
            pairs[:, i].add_(self.epsilon)
        rr, rg, rb, gg, gb, bb = pairs.unbind(1)
        # Inverse of the symmetric 3×3 covariance by its adjugate, one for each pixel.
        inverse = torch.empty(len(mean), 3, 3, 1, self.width)
        i_rr = torch.mul(gg, bb).addcmul_(gb, gb, value=-1)
        i_rg = torch.mul(gb, rb).addcmul_(rg, bb, value=-1)
        i_rb = torch.mul(rg, gb).addcmul_(gg, rb, value=-1)
        scale = torch.mul(rr, i_rr).addcmul_(rg, i_rg).addcmul_(rb, i_rb).reciprocal_()
        inverse[:, 0, 0, 0], inverse[:, 0, 1, 0], inverse[:, 0, 2, 0] = i_rr, i_rg, i_rb
        inverse[:, 1, 0, 0], inverse[:, 2, 0, 0] = i_rg, i_rb
        inverse[:, 1, 1, 0] = torch.mul(rr, bb).addcmul_(rb, rb, value=-1)
        inverse[:, 1, 2, 0] = torch.mul(rb, rg).addcmul_(rr, gb, value=-1)
        inverse[:, 2, 1, 0] = inverse[:, 1, 2, 0]
        inverse[:, 2, 2, 0] = torch.mul(rr, gg).addcmul_(rg, rg, value=-1)
        inverse.mul_(scale[:, None, None, None])
        cross = mean[:, 12:21].unflatten(1, (3, 3))  # n×source×guide×W
        cross.addcmul_(source[:, :, None], guide[:, None], value=-1)
        out = torch.empty(len(mean), 12, self.width)
        slopes = out[:, :9].unflatten(1, (3, 3))
        for c in range(3):
            plane = torch.mul(cross[:, :, 0], inverse[:, c, 0])
            plane.addcmul_(cross[:, :, 1], inverse[:, c, 1])
            torch.addcmul(plane, cross[:, :, 2], inverse[:, c, 2], out=slopes[:, :, c])
        offsets = out[:, 9:]
        offsets.copy_(source)
        for c in range(3):
            offsets.addcmul_(slopes[:, :, c], guide[:, c : c + 1], value=-1)
        return out


def _reflect(index: Tensor, size: int) -> Tensor:
    """Indices beyond 0..size-1 reflected, the edge repeated, as often as needed."""
    index = index % (2 * size)
    return torch.where(index < size, index, 2 * size - 1 - index)
