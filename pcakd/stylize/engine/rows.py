"""Pictures and features as sources of rows: any rows can be asked for, and only they are computed.

A network is a graph of sources. Asking the last one for rows start..stop asks each before it for the rows that
these depend on (its halo), so a strip comes out exactly as it would in the whole picture. What is stored
(`Stored`) ends the recursion; what is not is computed again whenever it is asked for.

Every source answers `rows(start, stop)` with a tensor 1×C×(stop-start)×W, channels last in memory, in its own
dtype. Edges are the picture's edges: strips meet without seams.
"""

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

WHITE = {torch.uint8: 255, torch.uint16: 65535}
"""The largest value of the types that photos come in."""

_REFLECT = (1, 0, 1)  # columns that the window around column 0 sees: column -1 is column 1
_REPLICATE = (0, 0, 1)


class Rows(Protocol):
    """A picture or features of a known size."""

    height: int
    width: int
    channels: int
    dtype: torch.dtype
    device: torch.device

    def rows(self, start: int, stop: int) -> Tensor:
        """Rows start..stop, 1×C×(stop-start)×W, channels last. A view or a new tensor: not to be written to."""
        ...


class PhotoRows:
    """A photo, uint8 or uint16 H×W×3 or float 1×3×H×W in [0, 1], as float32 in [0, 1].

    The last row and column are repeated until height and width are multiples of `multiple`, and at least two.
    """

    channels = 3
    dtype = torch.float32

    def __init__(self, photo: Tensor, multiple: int, device: torch.device) -> None:
        self._pixels = photo if photo.dtype in WHITE else photo[0].permute(1, 2, 0)  # H×W×3
        self.deep = photo.dtype == torch.uint16
        self.size = (self._pixels.shape[0], self._pixels.shape[1])
        self.height, self.width = (max(-(-side // multiple), 2) * multiple for side in self.size)
        self.device = device

    def rows(self, start: int, stop: int) -> Tensor:
        height, width = self.size
        part = self._pixels[min(start, height - 1) : max(min(stop, height), min(start, height - 1) + 1)]
        part = part.to(self.device)[None].permute(0, 3, 1, 2)
        x = part.float() / WHITE[part.dtype] if part.dtype in WHITE else part.float()
        right, bottom = self.width - width, stop - start - x.shape[2]
        if right or bottom:
            x = F.pad(x, (0, right, 0, bottom), mode="replicate")
        return x.contiguous(memory_format=torch.channels_last)


class Stored:
    """The first `share` (0..1) of a source's rows in memory, H×W×C; the rest is computed whenever asked for.

    Rows are written once, strip by strip, with `write`, before any is asked for.
    """

    def __init__(self, source: Rows, share: float = 1.0) -> None:
        self.height, self.width, self.channels = source.height, source.width, source.channels
        self.dtype, self.device = source.dtype, source.device
        self._kept = int(self.height * share)
        self._source = source if self._kept < self.height else None  # else what it stands on can be freed
        self._data = torch.empty(self._kept, self.width, self.channels, dtype=self.dtype, device=self.device)

    def write(self, start: int, rows: Tensor) -> None:
        """Store rows that begin at row `start`, as far as they are kept."""
        stop = min(start + rows.shape[2], self._kept)
        if start < stop:
            self._data[start:stop].copy_(rows[0, :, : stop - start].permute(1, 2, 0))

    def rows(self, start: int, stop: int) -> Tensor:
        if self._source is None or stop <= self._kept:
            return self._data[start:stop][None].permute(0, 3, 1, 2)
        if start >= self._kept:
            return self._source.rows(start, stop)
        return torch.cat([self.rows(start, self._kept), self._source.rows(self._kept, stop)], dim=2)


class Convolution:
    """3×3 convolution with stride 1, edges reflected (or replicated), and ReLU if asked for.

    weight: C_out×C_in×3×3 (C_in per group); its dtype is what is computed in.
    """

    def __init__(
        self,
        source: Rows,
        weight: Tensor,
        bias: Tensor | None,
        *,
        relu: bool = True,
        groups: int = 1,
        edges: tuple[int, int, int] = _REFLECT,
    ) -> None:
        self.source, self.weight, self.bias, self.relu, self.groups = source, weight, bias, relu, groups
        self.height, self.width, self.channels = source.height, source.width, weight.shape[0]
        self.dtype, self.device = weight.dtype, source.device
        self._edge = edges[0]
        last = self.width - 1
        self._columns = torch.tensor([*edges, *(last - c for c in reversed(edges))], device=self.device)

    def rows(self, start: int, stop: int) -> Tensor:
        first, last = max(start - 1, 0), min(stop + 1, self.height)
        x = self.source.rows(first, last).to(self.dtype)
        above = [x[:, :, self._edge : self._edge + 1]] if start == 0 else []
        below = [x[:, :, x.shape[2] - 1 - self._edge :][:, :, :1]] if stop == self.height else []
        if above or below:
            x = torch.cat([*above, x, *below], dim=2)
        y = F.conv2d(x, self.weight, self.bias, padding=(0, 1), groups=self.groups)
        # The zeros beside the first and last columns cost nothing; only those two columns are computed again,
        # where padding by reflection would copy the whole strip.
        edge = F.conv2d(x[..., self._columns], self.weight, self.bias, stride=(1, 3), groups=self.groups)
        y[..., :: self.width - 1] = edge
        return y.relu_() if self.relu else y


class StridedConvolution:
    """3×3 convolution with stride 2 and ReLU; one row and column reflected at the bottom and the right only."""

    def __init__(self, source: Rows, weight: Tensor, bias: Tensor | None, *, groups: int = 1) -> None:
        self.source, self.weight, self.bias, self.groups = source, weight, bias, groups
        self.height, self.width, self.channels = source.height // 2, source.width // 2, weight.shape[0]
        self.dtype, self.device = weight.dtype, source.device

    def rows(self, start: int, stop: int) -> Tensor:
        x = self.source.rows(2 * start, min(2 * stop + 1, self.source.height)).to(self.dtype)
        if stop == self.height:
            x = torch.cat([x, x[:, :, -2:-1]], dim=2)
        inner = F.conv2d(x, self.weight, self.bias, stride=2, groups=self.groups)
        last = F.conv2d(x[..., [-2, -1, -2]], self.weight, self.bias, stride=(2, 1), groups=self.groups)
        return torch.cat([inner, last], dim=3).relu_()


class Pointwise:
    """1×1 convolution, and ReLU if asked for. weight: C_out×C_in×1×1."""

    def __init__(self, source: Rows, weight: Tensor, bias: Tensor | None, *, relu: bool = True) -> None:
        self.source, self.weight, self.bias, self.relu = source, weight, bias, relu
        self.height, self.width, self.channels = source.height, source.width, weight.shape[0]
        self.dtype, self.device = weight.dtype, source.device

    def rows(self, start: int, stop: int) -> Tensor:
        y = F.conv2d(self.source.rows(start, stop).to(self.dtype), self.weight, self.bias)
        return y.relu_() if self.relu else y


class Pool:
    """2×2 maximum."""

    def __init__(self, source: Rows) -> None:
        self.source = source
        self.height, self.width, self.channels = source.height // 2, source.width // 2, source.channels
        self.dtype, self.device = source.dtype, source.device

    def rows(self, start: int, stop: int) -> Tensor:
        x = self.source.rows(2 * start, 2 * stop)
        y = torch.maximum(x[:, :, ::2], x[:, :, 1::2])  # faster than max_pool2d at 10 to 58 channels
        return torch.maximum(y[..., ::2], y[..., 1::2])


class Upsample:
    """Bilinear ×2 with half-pixel centres: 3/4 of the nearest and 1/4 of the next nearest row and column."""

    def __init__(self, source: Rows) -> None:
        self.source = source
        self.height, self.width, self.channels = source.height * 2, source.width * 2, source.channels
        self.dtype, self.device = source.dtype, source.device

    def rows(self, start: int, stop: int) -> Tensor:
        top, bottom = start // 2, (stop + 1) // 2  # source rows nearest to those asked for
        first, last = max(top - 1, 0), min(bottom + 1, self.source.height)
        x = self.source.rows(first, last)
        above = [x[:, :, :1]] if top == 0 else []
        below = [x[:, :, -1:]] if bottom == self.source.height else []
        if above or below:
            x = torch.cat([*above, x, *below], dim=2)
        middle = x[:, :, 1:-1]
        tall = _empty(x, 2 * middle.shape[2], self.source.width)
        torch.lerp(middle, x[:, :, :-2], 0.25, out=tall[:, :, ::2])
        torch.lerp(middle, x[:, :, 2:], 0.25, out=tall[:, :, 1::2])
        tall = tall[:, :, start - 2 * top : stop - 2 * top]
        wide = _empty(x, stop - start, self.width)
        wide[..., 0], wide[..., -1] = tall[..., 0], tall[..., -1]
        torch.lerp(tall[..., 1:], tall[..., :-1], 0.25, out=wide[..., 2::2])
        torch.lerp(tall[..., :-1], tall[..., 1:], 0.25, out=wide[..., 1:-1:2])
        return wide


class Sum:
    """Two sources of one size added; the first's dtype. The first must hand out new tensors, not views."""

    def __init__(self, first: Rows, second: Rows) -> None:
        self.first, self.second = first, second
        self.height, self.width, self.channels = first.height, first.width, first.channels
        self.dtype, self.device = first.dtype, first.device

    def rows(self, start: int, stop: int) -> Tensor:
        return self.first.rows(start, stop).add_(self.second.rows(start, stop))


class Concatenation:
    """Channels of two sources side by side, in the first's dtype."""

    def __init__(self, first: Rows, second: Rows) -> None:
        self.first, self.second = first, second
        self.height, self.width, self.channels = first.height, first.width, first.channels + second.channels
        self.dtype, self.device = first.dtype, first.device

    def rows(self, start: int, stop: int) -> Tensor:
        return torch.cat([self.first.rows(start, stop), self.second.rows(start, stop).to(self.dtype)], dim=1)


class Cast:
    """A source in another dtype."""

    def __init__(self, source: Rows, dtype: torch.dtype) -> None:
        self.source, self.dtype, self.device = source, dtype, source.device
        self.height, self.width, self.channels = source.height, source.width, source.channels

    def rows(self, start: int, stop: int) -> Tensor:
        return self.source.rows(start, stop).to(self.dtype)


def residual(source: Rows, dtype: torch.dtype) -> Convolution:
    """High-frequency residual: the source minus its 3×3 mean, edges replicated."""
    kernel = torch.full((source.channels, 1, 3, 3), -1 / 9, device=source.device)
    kernel[:, :, 1, 1] += 1
    return Convolution(source, kernel.to(dtype), None, relu=False, groups=source.channels, edges=_REPLICATE)


def _empty(like: Tensor, height: int, width: int) -> Tensor:
    shape = (1, like.shape[1], height, width)
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)
