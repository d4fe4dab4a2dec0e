"""A look: what a style does to one photo, or to a series, as maps of colour that any size of it can go through."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pcakd.luma import REC_601
from pcakd.stylize.grey import LUMA
from pcakd.stylize.look.fit import NODES, Aim, gather, solve
from pcakd.stylize.look.slicing import Slicer, has_kernel
from pcakd.stylize.masks import Mask
from pcakd.stylize.matched_grade import NO_GRADE, MatchedGrade
from pcakd.stylize.strips import cut, map_strips

SIDE = 512
"""Longest side, in pixels, of the small copy that the student decides on. Its receptive fields were trained on crops
of this order; larger copies cost more and change the look little (docs/looks.md)."""

FINER = 4
"""Nodes of brightness of a look in other light, for each of full light."""

_CPU = torch.device("cpu")
_REGION_PIXELS = 1 << 18  # a masked photo's strips are float


@dataclass(frozen=True)
class Look:
    """What a style does to one photo, or to a series.

    grid:    float32 (Y, X, Z, 12): the student's result as maps of colour by place and brightness (see `slicing`);
             Y = X = 1 where place does not count.
    grade:   the matched grade, mixed in by its weight.
    regions: label → a grid of its own, used where a mask says so.
    strength: 0 leaves a photo as it is to the bit, 1 is the whole look; between, the maps are mixed with the identity.
    """

    grid: Tensor
    grade: MatchedGrade = NO_GRADE
    regions: Mapping[str, Tensor] = field(default_factory=dict)
    strength: float = 1.0

    @property
    def knows_place(self) -> bool:
        """Whether it is made for one photo's places; else it is one function of colour."""
        return self.grid.shape[:2] != (1, 1)

    def at(self, strength: float) -> "Look":
        """The same look at another strength, 0 to 1."""
        return replace(self, strength=strength)

    def in_grey(self) -> "Look":
        """The same look with every colour's luma alone."""
        mix = LUMA.double()[:, None].expand(3, 3)  # to each channel

        def grey(grid: Tensor) -> Tensor:
            return (grid.double().unflatten(-1, (4, 3)) @ mix).flatten(-2).float()

        grade = self.grade
        grade = grade._replace(matrix=mix.T @ grade.matrix, bias=grade.bias @ mix, polynomial=grade.polynomial @ mix)
        regions = {label: grey(grid) for label, grid in self.regions.items()}
        return replace(self, grid=grey(self.grid), grade=grade, regions=regions)

    def lit(self, red: float, green: float, blue: float) -> "Look":
        """The same look for photos in weaker light, or stronger: its grid makes of what full light shows what the look
        does, and gives that the brightness of the light it is seen in. Colour of light is taken out, as it is the
        style's affair. For looks without a grade.

        red, green, blue: the light as shares of full light, above 0.
        """
        light = torch.tensor([red, green, blue], dtype=torch.float64)
        bright = float(light @ torch.tensor(REC_601, dtype=torch.float64))
        if torch.equal(light, torch.ones_like(light)):
            return self

        def dimmed(grid: Tensor) -> Tensor:
            levels = grid.shape[2]
            # Weak light lies on few of the grid's nodes: more of them follow the old ones more closely.
            node = torch.arange(FINER * (levels - 1) + 1, dtype=torch.float64) / FINER / bright
            node = node.clamp_max(levels - 1)
            below = node.long().clamp_max(levels - 2)
            maps = grid.double()
            maps = torch.lerp(maps[:, :, below], maps[:, :, below + 1], (node - below)[:, None])
            matrix, offset = maps.unflatten(-1, (4, 3)).split((3, 1), -2)
            return (bright * torch.cat([matrix / light[:, None], offset], -2)).flatten(-2).float()

        regions = {label: dimmed(grid) for label, grid in self.regions.items()}
        return replace(self, grid=dimmed(self.grid), regions=regions)

    def apply(
        self, rgb: np.ndarray, *, mask: Mask | None = None, device: torch.device = _CPU, out: np.ndarray | None = None
    ) -> np.ndarray:
        """A photo of any size, uint8 or uint16 H×W×3 or float32 in [0, 1], in this look; in strips, rounded once.

        mask: regions of the photo, of any size. out: where the result goes, the photo's own array, too; a new array
        of the photo's type if None.
        """
        out = np.empty_like(rgb) if out is None else out
        shared = [] if mask is None else [i for i, label in enumerate(mask.labels) if label in self.regions]
        if self.strength == 0:
            out[...] = rgb
        elif mask is None or not shared:
            self._slicer(self.grid, rgb.shape[:2]).into(rgb, out, device)
        else:
            grids = [self.regions[mask.labels[i]] for i in shared]
            weights = Mask(tuple(mask.labels[i] for i in shared), mask.weights[shared]).resized(*rgb.shape[:2])
            self._by_regions(rgb, out, weights, grids, device)
        return out

    def _by_regions(
        self, rgb: np.ndarray, out: np.ndarray, weights: Tensor, grids: list[Tensor], device: torch.device
    ) -> None:
        """weights: (R, H, W) of the regions; what is in none takes the whole photo's grid."""
        size = rgb.shape[:2]
        slicers = [self._slicer(grid, size) for grid in (self.grid, *grids)]
        peak = 1.0 if out.dtype == np.float32 else float(np.iinfo(out.dtype).max)
        compiled = device.type == "cpu" and has_kernel(size[0] * size[1])

        def strip(start: int, stop: int) -> None:
            part = np.empty((stop - start, size[1], 3), np.float32)
            total = np.zeros_like(part)
            inside = weights[:, start:stop].numpy()
            for share, slicer in zip([(1 - inside.sum(0)).clip(0), *inside], slicers, strict=True):
                slicer.strip(rgb[start:stop], part, start, device, compiled)
                total += share[..., None] * part
            # Weights of a soft border may sum to a hair more than 1.
            np.clip(total, 0, 1, out=total)
            out[start:stop] = total if out.dtype == np.float32 else total * peak + 0.5

        map_strips(strip, cut(size[0], max(1, _REGION_PIXELS // size[1])), device)

    def _slicer(self, grid: Tensor, size: tuple[int, int]) -> Slicer:
        maps = torch.lerp(identity_grid(grid.shape[2]), grid, self.strength) if self.strength < 1 else grid
        return Slicer(maps, size, self.grade, self.strength)


def identity_grid(nodes: int = NODES) -> Tensor:
    """The grid (1, 1, Z, 12) that changes nothing, to the bit."""
    return torch.cat([torch.eye(3), torch.zeros(1, 3)]).flatten().repeat(1, 1, nodes, 1)


IDENTITY = Look(identity_grid())
"""Changes nothing."""


def small_copy(rgb: np.ndarray) -> Tensor:
    """The photo uint8 or uint16 H×W×3 at most `SIDE` pixels long: float32 1×3×h×w in [0, 1]; no float copy of it."""
    height, width = rgb.shape[:2]
    if rgb.dtype == np.uint16:
        rgb = np.floor_divide(rgb, 257).astype(np.uint8)  # what the student decides on is no finer than that
    scale = min(1.0, SIDE / max(height, width))
    size = [max(1, round(height * scale)), max(1, round(width * scale))]
    photo = torch.from_numpy(rgb if rgb.flags.writeable else rgb.copy()).permute(2, 0, 1)[None]
    if size != [height, width]:
        photo = F.interpolate(photo, size=size, mode="bilinear", align_corners=False, antialias=True)
    return photo.contiguous().float() / 255


def fit_look(
    content: Tensor,
    result: Tensor,
    regions: Mapping[str, Tensor] | None = None,
    visible: Tensor | None = None,
    *,
    aim: Aim | None = None,
    region_aims: Mapping[str, Aim] | None = None,
) -> Look:
    """The look of a small photo and its result, both h×w×3 in [0, 1].

    regions: label → weight h×w; visible: how much a pixel counts, h×w, None where all count alike. aim: what it is to
    be beside what the result is, see `Aim`; region_aims: label → the same.
    """

    def solved(weight: Tensor | None, aim: Aim | None) -> Tensor:
        if weight is not None and visible is not None:
            weight = weight * visible
        return solve(gather(content, result, visible if weight is None else weight), aim)

    grids = {label: solved(weight, (region_aims or {}).get(label)) for label, weight in (regions or {}).items()}
    if not grids:
        return Look(solved(None, aim))
    rest = (1 - torch.stack(list((regions or {}).values())).sum(0)).clamp_min(0)
    return Look(solved(rest, aim), regions=grids)
