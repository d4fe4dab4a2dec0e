"""From a small photo and what the student made of it to a grid of colour maps, in closed form.

Every pixel of the small photo says "this colour, here, became that". The grid's cells (place × brightness) gather the
moments of what they are told (`gather`), share them with their neighbours, and each solves for the 4×3 map that fits
best in the sense of least squares (`solve`). Moments add up, so that photos of a series can be fitted as one.

Three things keep the content's detail as it is, instead of amplified:

* `SLOPES`: what a cell does to differences of colour is drawn towards what the content has, as if each of its pixels
  had noise of that variance: where the content is flat, nothing but a shift is left.
* Luma, in which noise, halos and edges are seen, is held harder and spread wider than chroma, in which the style is.
* `PRIOR`: cells that know little take the whole photo's map.

Least squares shrink: of what a map cannot explain it makes less contrast. `restore_spread` gives the whole photo back
the spread that the student's result has: all of it in chroma, less of it in luma, where contrast costs likeness.

A look may be nearer to what is wanted than the student is. An `Aim` says how:

* Chroma of the whole photo gets the mean and the spread that the style photo has, not those that the student left.
* Flat places are drawn to less than the content's contrast, or the result's where that is less, as `CALM` says: halos
  are seen there.
* A little of the content's luma is mixed in (`KEPT`), as far as no map of colour explains what the student did to it:
  a small loss of style for a large gain in likeness. As far as maps do explain it, content and style show the same
  things, as if one were a grade of the other: then the whole photo's luma, too, gets the style photo's mean and spread.

How the constants were found: docs/looks.md.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pcakd.luma import REC_601
from pcakd.stylize.strips import cut, map_strips, single_threaded, strips_alone
from pcakd.stylize.transforms import Statistics, monge_kantorovich

CELLS = 12
"""Cells along the photo's longer side."""

NODES = 12
"""Nodes of brightness, from black to white."""

SPREAD_PLACE = (1.2, 0.8)
"""How far a cell shares what it knows with those around, sigma in cells: of luma, of chroma."""

SPREAD_TONE = 0.5
"""The same in brightness, in nodes."""

SLOPES = (0.02, 0.001)
"""Variance of colour, [0, 1], below which differences stay as the content has them: of luma, of chroma."""

PRIOR = 0.01
"""Weight of the whole photo's map, in pixels of an average cell."""

RESTORED = 0.8
"""Share of the lost spread of luma that is given back; of chroma, all."""

KEPT = 0.082
"""Share of the content's luma in a look, at most."""

KEPT_FROM = 0.0065
"""Share of the result's luma variance that maps leave unexplained, from which on so much is kept, and none of luma is
the style's. Of a photo and its own grade 0.004 is left, of two parts of one photo 0.006 to 0.02, of different photos
0.02 to 0.05; medians."""

CALM = 0.75
"""Contrast that flat places are drawn to, where a style changes a photo, beside the content's, or the result's where
that is less."""

CHANGED = 0.05
"""Root mean square, [0, 1], of what a style changes, from which on that is so; below, proportionately less: a photo in
its own style stays as it is."""

MOST_GAIN = 2.0
"""Spread is multiplied by this at most: what is nothing but noise is not made a picture."""

GATHERED = 1 << 15
"""Pixels that tell at a time: with fewer, calls cost more than what they compute; many more leave the caches."""

_FLOOR = 1e-4
"""Variance, [0, 1], that counts as none when spreads are compared."""

_TINY = 1e-9
_TO_YCC = torch.tensor(
    [REC_601, (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312)], dtype=torch.float64
)  # JPEG's luma and chroma, without its offsets
_TO_RGB = torch.linalg.inv(_TO_YCC)
_IDENTITY = torch.cat([torch.eye(3), torch.zeros(1, 3)]).double()
_SLOPE = torch.diag(torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64))
_PRODUCTS = [(i, j) for i in range(4) for j in range(i, 4)]


@dataclass(frozen=True)
class Aim:
    """That a look is to be nearer to its style, and to its content, than the student's result is."""

    colours: Statistics | None = None
    """Mean and covariance of the style photo's colours, [0, 1]; None where they are not known, as of styles that were
    saved before they were kept: then chroma is the student's."""
    share: float = 1.0
    """How far these count: 0 where nothing of the style is asked for."""
    restored: float = RESTORED
    """Share of the lost spread of luma that is given back."""


@dataclass(frozen=True)
class LookMoments:
    """What the cells were told: sums over pixels, float64.

    content: (Z, Y, X, 4, 4), products of (r, g, b, 1) with each other.
    crossed: (Z, Y, X, 4, 3), products of (r, g, b, 1) with the result's colours.
    result:  (3, 3), products of the result's colours with each other, over all cells.
    """

    content: Tensor
    crossed: Tensor
    result: Tensor

    def __add__(self, other: "LookMoments") -> "LookMoments":
        """Both photos as one; their grids must have one shape."""
        return LookMoments(self.content + other.content, self.crossed + other.crossed, self.result + other.result)

    def times(self, weight: float) -> "LookMoments":
        """The same, counting so much."""
        return LookMoments(self.content * weight, self.crossed * weight, self.result * weight)

    def without_place(self) -> "LookMoments":
        """The same for a grid that knows brightness alone: (Z, 1, 1, …)."""
        return LookMoments(self.content.sum((1, 2), keepdim=True), self.crossed.sum((1, 2), keepdim=True), self.result)


def grid_shape(height: int, width: int) -> tuple[int, int, int]:
    """Nodes (Z, Y, X) of a photo's grid: square cells, at least one each way."""
    step = max(height, width) / CELLS
    return NODES, max(1, round(height / step)) + 1, max(1, round(width / step)) + 1


@strips_alone()
def gather(content: Tensor, result: Tensor, weight: Tensor | None = None) -> LookMoments:
    """The moments of a photo H×W×3 and its result, both float in [0, 1]; weight: H×W, how much a pixel counts."""
    height, width = content.shape[:2]
    levels, down, across = grid_shape(height, width)
    rows = _hats((torch.arange(height, device=content.device) + 0.5) / height * (down - 1), down).double()

    def heard(start: int, stop: int) -> Tensor:
        strip = slice(start, stop)
        told = _told(content[strip], result[strip], weight if weight is None else weight[strip], across)
        return torch.einsum("hy,hzxv->zyxv", rows[strip], told.double())

    cells = rows.new_zeros(levels, down, across, 22)
    for part in map_strips(heard, cut(height, max(1, GATHERED // width)), content.device):
        cells += part
    cells = cells.cpu()
    products = cells.new_empty(*cells.shape[:3], 4, 4)
    for k, (i, j) in enumerate(_PRODUCTS):
        products[..., i, j] = products[..., j, i] = cells[..., k]
    flat = result.reshape(-1, 3).double()
    weighted = flat if weight is None else flat * weight.reshape(-1, 1)
    return LookMoments(products, cells[..., 10:].unflatten(-1, (4, 3)), (flat.T @ weighted).cpu())


def _told(content: Tensor, result: Tensor, weight: Tensor | None, across: int) -> Tensor:
    """What the pixels of each row tell the nodes of brightness and the columns of cells: (H, Z, X, 22)."""
    height, width = content.shape[:2]
    x = torch.cat([content, content.new_ones(height, width, 1)], -1).float()
    told = [x[..., i] * x[..., j] for i, j in _PRODUCTS] + [
        x[..., i] * result[..., c] for i in range(4) for c in range(3)
    ]
    values = torch.stack(told, -1)
    if weight is not None:
        values = values * weight[..., None]
    red, green, blue = (factor * x[..., i] for i, factor in enumerate(REC_601))
    tone = _hats((red + green + blue).clamp(0, 1) * (NODES - 1), NODES).transpose(1, 2)
    # Sums along a row are short enough for float32; over rows they go on in float64. Between two nodes only these two
    # hear of a pixel.
    sums = values.new_zeros(height, NODES, across, values.shape[-1])
    places = ((torch.arange(width, device=content.device) + 0.5) / width * (across - 1)).to(torch.float32)
    for node in range(across - 1):
        between = slice(*(math.ceil(edge * width / (across - 1) - 0.5) for edge in (node, node + 1)))
        share = (places[between] - node)[:, None]
        part = values[:, between]
        heard = torch.bmm(tone[..., between], torch.cat([part * (1 - share), part * share], -1))
        sums[:, :, node : node + 2] += heard.unflatten(-1, (2, -1))
    return sums


@single_threaded()
def solve(moments: LookMoments, aim: Aim | None = None) -> Tensor:
    """The grid float32 (Y, X, Z, 12) that fits best, or that an aim asks for; without any pixel, the identity's."""
    if float(moments.content[..., 3, 3].sum()) < _TINY:
        return _IDENTITY.flatten().float().expand(*moments.content.shape[1:3], NODES, 12).contiguous()
    plain = _IDENTITY @ _TO_YCC.T
    if aim is not None:
        plain[:, 0] *= _calm(moments)
    luma, chroma = (_solve_channels(moments, plain, *choice) for choice in zip(SPREAD_PLACE, SLOPES, strict=True))
    maps = torch.cat([luma[..., :1], chroma[..., 1:]], -1)  # (Z, Y, X, 4, 3): to luma and chroma
    alike = 1.0 if aim is None else _alike(maps, moments)
    maps = restore_spread(maps, moments, aim or Aim(), alike)
    maps[..., 0] = torch.lerp(maps[..., 0], (_IDENTITY @ _TO_YCC.T)[:, 0].expand_as(maps[..., 0]), KEPT * (1 - alike))
    maps = maps @ _TO_RGB.T
    return maps.permute(1, 2, 0, 3, 4).flatten(3).float().contiguous()


def _calm(moments: LookMoments) -> float:
    """Contrast of luma, as a share of the content's, that flat places are drawn to."""
    whole, crossed = moments.content.sum((0, 1, 2)), moments.crossed.sum((0, 1, 2))
    pixels = whole[3, 3]
    change = moments.result.trace() - 2 * crossed[:3].trace() + whole[:3, :3].trace()
    changed = float((change / pixels / 3).clamp_min(0).sqrt()) / CHANGED
    before = whole[:3, :3] / pixels - torch.outer(whole[3, :3], whole[3, :3]) / pixels**2
    after = moments.result / pixels - torch.outer(crossed[3], crossed[3]) / pixels**2
    gain = float(((_TO_YCC @ after @ _TO_YCC.T)[0, 0] / (_TO_YCC @ before @ _TO_YCC.T)[0, 0].clamp_min(_FLOOR)).sqrt())
    return 1 - (1 - CALM * min(1.0, gain)) * min(1.0, changed)


def _alike(maps: Tensor, moments: LookMoments) -> float:
    """How far the style seems to show what the content shows: 1 where maps (Z, Y, X, 4, 3) to luma and chroma explain
    all that the student did to luma, 0 where they leave `KEPT_FROM` of its variance unexplained."""
    pixels = moments.content[..., 3, 3].sum()
    luma = maps[..., 0]
    made = torch.einsum("zyxa,zyxab,zyxb->", luma, moments.content, luma) / pixels
    both = torch.einsum("zyxa,zyxa->", luma, moments.crossed @ _TO_YCC[0]) / pixels
    wanted = _TO_YCC[0] @ (moments.result / pixels) @ _TO_YCC[0]
    mean = moments.crossed.sum((0, 1, 2))[3] / pixels @ _TO_YCC[0]
    unexplained = float((wanted - 2 * both + made) / (wanted - mean**2 + _FLOOR))
    return 1 - min(1.0, max(0.0, unexplained) / KEPT_FROM)


def _solve_channels(moments: LookMoments, plain: Tensor, spread: float, slope: float) -> Tensor:
    """Maps (Z, Y, X, 4, 3) to luma and chroma, regularised as one of them: drawn to `plain` (4, 3) where flat."""
    content, crossed = (_spread(told, spread) for told in (moments.content, moments.crossed))
    crossed = crossed @ _TO_YCC.T
    whole, wanted = moments.content.sum((0, 1, 2)), moments.crossed.sum((0, 1, 2)) @ _TO_YCC.T
    pixels = whole[3, 3]
    held = (slope * _SLOPE + _TINY * torch.eye(4)) * pixels
    prior = torch.linalg.solve(whole + held, wanted + held @ plain)
    mass = content[..., 3, 3].mean() / pixels
    known = PRIOR * mass * (whole + held)
    held = slope * _SLOPE * content[..., 3:, 3:]
    return torch.linalg.solve(content + known + held, crossed + known @ prior + held @ plain)


def restore_spread(maps: Tensor, moments: LookMoments, aim: Aim, alike: float) -> Tensor:
    """Maps (Z, Y, X, 4, 3) to luma and chroma followed by the one linear map (Monge-Kantorovich) that gives the whole
    photo the mean of the student's result, and its covariance as far as the aim says; its chroma, and its luma as far
    as content and style are `alike` (0 to 1), the mean and the spread of the aim's colours."""
    whole = moments.content.sum((0, 1, 2))
    pixels = whole[3, 3]
    mean = torch.einsum("zyxa,zyxac->c", moments.content[..., 3, :], maps) / pixels
    second = torch.einsum("zyxac,zyxab,zyxbd->cd", maps, moments.content, maps) / pixels
    wanted_mean = moments.crossed.sum((0, 1, 2))[3] / pixels @ _TO_YCC.T
    wanted_second = _TO_YCC @ (moments.result / pixels) @ _TO_YCC.T
    floor = _FLOOR * torch.eye(3, dtype=torch.float64)
    found = second - torch.outer(mean, mean) + floor
    wanted = wanted_second - torch.outer(wanted_mean, wanted_mean) + floor
    if aim.colours is not None:
        style_mean, style = _TO_YCC @ aim.colours.mean, _TO_YCC @ aim.colours.covariance @ _TO_YCC.T + floor
        own = aim.share * torch.tensor([alike, 1.0, 1.0], dtype=torch.float64)
        wanted_mean = torch.lerp(wanted_mean, style_mean, own)
        grown = (style.diagonal() / wanted.diagonal()).sqrt() ** own
        wanted = grown[:, None] * wanted * grown
    keep = torch.ones(3, dtype=torch.float64)
    keep[0] = (found[0, 0] / wanted[0, 0]).sqrt() ** (1 - aim.restored)
    matrix = monge_kantorovich(found, keep[:, None] * wanted * keep)
    gains, directions = torch.linalg.eigh((matrix + matrix.T) / 2)
    matrix = (directions * gains.clamp_max(MOST_GAIN)) @ directions.T
    maps = maps @ matrix
    maps[..., 3, :] += wanted_mean - mean @ matrix
    return maps


def _hats(place: Tensor, nodes: int) -> Tensor:
    """… → …×nodes: how much each node hears of what is told at a place (0 … nodes - 1); sums to 1."""
    return (1 - (place[..., None] - torch.arange(nodes, device=place.device)).abs()).clamp_min(0)


def _spread(told: Tensor, place: float) -> Tensor:
    """Cells (Z, Y, X, …) with what their neighbours were told."""
    tone, rows, columns = (
        _neighbours(n, sigma) for n, sigma in zip(told.shape[:3], (SPREAD_TONE, place, place), strict=True)
    )
    told = torch.einsum("zZ,zyxab->Zyxab", tone, told)
    told = torch.einsum("yY,zyxab->zYxab", rows, told)
    return torch.einsum("xX,zyxab->zyXab", columns, told)


def _neighbours(nodes: int, sigma: float) -> Tensor:
    """(nodes, nodes): how much each hears of another, a Gaussian."""
    steps = torch.arange(nodes, dtype=torch.float64)
    return torch.exp(-0.5 * ((steps[:, None] - steps) / sigma) ** 2)
