"""Matched grade: where content and style show the same things, read the colour change off matching places.

The paper matches statistics of whole photos. When style and content differ in what they show, those statistics
differ for that reason too, and the result takes on colours that belong to other things. This module uses the
student's own features to find out what the photos share:

1. Both photos are shrunk to at most `SIDE` pixels and cut into cells of `CELL` pixels. A cell is described by
   its mean level-2 and level-3 features, and by the mean and second moment of its colours.
2. Cells that are each other's nearest by features (cosine) are a match. A linear Monge-Kantorovich map between
   the matched cells' colours brings the content near the style; encoded once more, it is matched again.
3. A cubic colour polynomial is fitted to the matches by robust ridge regression. The share of the cells that
   match and agree with it is the evidence that the photos show the same things, and decides how much of the
   result is this grade and how much the paper's transfer: `MatchedGrade.weight`, 0..1.

Photos of different things have a weight near 0 and come out as the paper's method has them.
The grade is one function of colour for the whole photo: any resolution and any tiling give the same result.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pcakd.student.network import Student
from pcakd.stylize.cells import Cells
from pcakd.stylize.engine import EngineSettings, encode_features
from pcakd.stylize.strips import cut, map_strips, single_threaded, strips_alone
from pcakd.stylize.transforms import monge_kantorovich

SIDE = 384
"""Longest side of the shrunk photo, in pixels."""

CELL = 16
"""Side of a cell in pixels of the shrunk photo: one level-3 pixel of MobileNet, four of VGG."""

MATCHED_LEVELS = (2, 3)
"""Levels that describe a cell."""

SHARPNESS = 0.1
"""Scale on which a match of lower cosine counts less: weight exp((cosine - 1) / SHARPNESS)."""

AGREEMENT = 0.08
"""A match agrees with the grade if its mean colour is this near (Euclidean, RGB in [0, 1]), and nearer than half
the spread of the matched style colours: in a photo of one colour everything agrees and proves nothing."""

EVIDENCE = (0.09, 0.15)
"""Share of agreeing matches at which the grade starts to count, and at which it is the whole result."""

LEAST_CELLS = 64
"""Fewer cells than this (a photo of less than 128×128 pixels) prove nothing: the grade's weight is 0."""

RIDGE = 1.0
"""Ridge of the polynomial's fit, in units of the matches' mean squared residual."""

_FIT_ROUNDS = 6
_TINY = 1e-9


class MatchedGrade(NamedTuple):
    """A smooth colour map and how much it counts."""

    weight: float  # 0: the photos share nothing; 1: they show the same things
    matrix: Tensor  # (3, 3): Monge-Kantorovich map between the matches
    bias: Tensor  # (3,)
    polynomial: Tensor  # (13, 3): correction on top, see `cubic_basis`

    def apply(self, photo: Tensor, strength: float = 1.0) -> Tensor:
        """Graded copy of a photo N×3×H×W in [0, 1]; strength 0 gives the photo itself."""
        matrix, bias, polynomial = (t.to(photo) for t in (self.matrix, self.bias, self.polynomial))
        out = torch.empty_like(photo)
        rows = max(1, _PIXELS // photo.shape[-1])
        for start in range(0, photo.shape[-2], rows):
            part = photo[..., start : start + rows, :].movedim(1, -1)
            aligned = part @ matrix.T + bias
            graded = (aligned + cubic_basis(aligned) @ polynomial).clamp(0, 1)
            out[..., start : start + rows, :] = torch.lerp(part, graded, strength).movedim(-1, 1)
        return out


NO_GRADE = MatchedGrade(
    0.0,
    torch.eye(3, dtype=torch.float64),
    torch.zeros(3, dtype=torch.float64),
    torch.zeros(13, 3, dtype=torch.float64),
)
"""Changes nothing and counts nothing."""

_PIXELS = 1 << 18  # pixels graded at a time: bounds the memory of the basis


def shrunk_size(height: int, width: int) -> list[int]:
    """Height and width that `shrink` gives."""
    scale = min(1.0, SIDE / max(height, width))
    return [max(2, round(side * scale / CELL)) * CELL for side in (height, width)]


def shrink(photo: Tensor) -> Tensor:
    """The photo 1×3×H×W at most `SIDE` pixels long, sides whole multiples of `CELL`, at least two of them."""
    height, width = photo.shape[-2:]
    size = shrunk_size(height, width)
    if size == [height, width]:
        return photo
    return F.interpolate(photo, size=size, mode="bilinear", align_corners=False, antialias=True).clamp(0, 1)


def shrink_pixels(rgb: Tensor) -> Tensor:
    """`shrink` of a photo uint8 H×W×3 of any size, without a float copy of it: float32 1×3×h×w in [0, 1]."""
    height, width = rgb.shape[:2]
    shorter = shrunk_size(height, width)
    photo = rgb.permute(2, 0, 1)[None]
    if shorter != [height, width]:
        photo = F.interpolate(photo, size=shorter, mode="bilinear", align_corners=False, antialias=True)
    return photo.contiguous().float() / 255


def grade_pixels(grade: MatchedGrade, rgb: Tensor, other: Tensor | None, strength: float) -> Tensor:
    """The graded photo uint8 H×W×3, mixed by the grade's weight with the paper's result `other` (None at weight 1).

    Of deep photos: from uint16 (and `other` float32 0..255) float32 0..255, not rounded.
    """
    deep = rgb.dtype == torch.uint16
    out = torch.empty_like(rgb, dtype=torch.float32 if deep else torch.uint8)

    def strip(start: int, stop: int) -> None:
        part = rgb[start:stop].permute(2, 0, 1)[None].float() / (65535 if deep else 255)
        graded = grade.apply(part, strength)[0].permute(1, 2, 0) * 255
        if other is not None and grade.weight < 1:
            graded = torch.lerp(other[start:stop].float(), graded, grade.weight)
        out[start:stop] = graded if deep else graded.round().to(torch.uint8)

    map_strips(strip, cut(len(rgb), max(1, _PIXELS // rgb.shape[1])), rgb.device)
    return out


def describe(
    student: Student, small: Tensor, seen: Tensor | None = None, *, settings: EngineSettings | None = None
) -> Cells:
    """Cells of a shrunk photo 1×3×H×W in [0, 1]; of all, or of those that are `seen` (K of bool, see `seen_cells`)."""
    size = (small.shape[-2] // CELL, small.shape[-1] // CELL)
    levels = encode_features(student, small, MATCHED_LEVELS, settings=settings)
    features = [_cell_means(level, size) for level in levels]
    colours = small.float()
    products = (colours[:, :, None] * colours[:, None, :]).flatten(1, 2)
    cells = Cells(torch.cat(features, 1), _cell_means(colours, size), _cell_means(products, size).unflatten(1, (3, 3)))
    return cells if seen is None else Cells(*(part[seen] for part in cells))


def seen_cells(visible: Tensor | None, height: int, width: int) -> Tensor | None:
    """Which cells of a photo are more than half seen: K of bool; None where all are.

    visible: float H×W in 0..1 of the whole photo.
    """
    if visible is None:
        return None
    rows, columns = (side // CELL for side in shrunk_size(height, width))
    share = F.adaptive_avg_pool2d(visible[None, None], (rows, columns))[0, 0].flatten()
    return share > min(0.5, float(share.max()) / 2)


def _cell_means(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.adaptive_avg_pool2d(x.float(), size)[0].flatten(1).T.contiguous().cpu()


@strips_alone()
def match_grade(
    student: Student,
    content: Tensor,
    style: Cells,
    seen: Tensor | None = None,
    *,
    settings: EngineSettings | None = None,
) -> MatchedGrade:
    """The grade that the style shows on what it shares with a content photo 1×3×H×W in [0, 1].

    seen: which of the content's cells are visible, see `seen_cells`.
    """
    small = shrink(content)
    count = small.shape[-2] * small.shape[-1] // CELL**2 if seen is None else int(seen.sum())
    if min(len(style.mean), count) < LEAST_CELLS:
        return NO_GRADE
    cells = describe(student, small, seen, settings=settings)
    centre = style.features.mean(0)
    # Before the photos are aligned, each is centred on its own mean: that takes the grade out of the features.
    with single_threaded():
        pairs = mutual_matches(cells.features - cells.features.mean(0), style.features - centre)
        aligned = _align(cells, style, pairs).apply(small)
    aligned_features = describe(student, aligned, seen, settings=settings).features
    with single_threaded():
        pairs = mutual_matches(aligned_features - centre, style.features - centre)
        return _fit(_align(cells, style, pairs), cells, style, pairs)


class Pairs(NamedTuple):
    """Matched cells: content[i] goes with style[i], which counts weight[i]."""

    content: Tensor  # (M,) indices
    style: Tensor  # (M,)
    weight: Tensor  # (M,) float64, above 0, sums to 1


def mutual_matches(content: Tensor, style: Tensor) -> Pairs:
    """Pairs of rows of (K, D) and (L, D) that are each other's nearest by cosine; there is always one."""
    cosine = F.normalize(content.double(), dim=1) @ F.normalize(style.double(), dim=1).T
    nearest, back = cosine.argmax(1), cosine.argmax(0)
    rows = torch.arange(len(content))
    mutual = back[nearest] == rows
    if not mutual.any():  # only by ties of equal cells
        mutual[cosine.amax(1).argmax()] = True
    found = cosine[rows, nearest][mutual]
    weight = ((found - found.max()) / SHARPNESS).exp()
    return Pairs(rows[mutual], nearest[mutual], weight / weight.sum())


def cubic_basis(rgb: Tensor) -> Tensor:
    """…×3 colours in [0, 1] → …×13: 1, r, g, b, their six products, their three cubes, around middle grey."""
    x = rgb - 0.5
    r, g, b = x.unbind(-1)
    return torch.stack(
        [torch.ones_like(r), r, g, b, r * r, r * g, r * b, g * g, g * b, b * b, r**3, g**3, b**3], dim=-1
    )


def _align(content: Cells, style: Cells, pairs: Pairs) -> MatchedGrade:
    """Monge-Kantorovich map between the colours of the matched cells, of full weight."""
    mean_c, cov_c = _moments(content, pairs.content, pairs.weight)
    mean_s, cov_s = _moments(style, pairs.style, pairs.weight)
    matrix = monge_kantorovich(cov_c, cov_s)
    return MatchedGrade(1.0, matrix, mean_s - matrix @ mean_c, torch.zeros(13, 3, dtype=torch.float64))


def _moments(cells: Cells, index: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    mean = weight @ cells.mean[index].double()
    second = torch.einsum("k,kij->ij", weight, cells.second[index].double())
    floor = 1e-6 * torch.eye(3, dtype=torch.float64)  # grey photos have no spread across colours
    return mean, second - torch.outer(mean, mean) + floor


def _fit(aligned: MatchedGrade, content: Cells, style: Cells, pairs: Pairs) -> MatchedGrade:
    """Correct an alignment by a cubic polynomial, fitted robustly to the matches; weigh the evidence."""
    start = content.mean[pairs.content].double() @ aligned.matrix.T + aligned.bias
    target = style.mean[pairs.style].double()
    basis, wanted = cubic_basis(start), target - start
    polynomial = torch.zeros(13, 3, dtype=torch.float64)
    weight, residual = pairs.weight, wanted
    for _ in range(_FIT_ROUNDS):
        ridge = RIDGE * max(1e-5, float(weight @ residual.square().sum(1))) * torch.eye(13, dtype=torch.float64)
        polynomial = torch.linalg.solve(basis.T * weight @ basis + ridge, basis.T * weight @ wanted)
        residual = wanted - basis @ polynomial
        distance = residual.norm(dim=1)
        # Geman-McClure weights: a wrong match stops counting instead of bending the curve.
        scale = 1.5 * float(pairs.weight @ distance.clamp_max(0.2).square()) ** 0.5 + 0.01
        weight = pairs.weight / (1 + (distance / scale) ** 2) ** 2
        weight = weight / weight.sum().clamp_min(_TINY)
    spread = float((pairs.weight @ (target - pairs.weight @ target).square().sum(1)) ** 0.5)
    agreeing = int((residual.norm(dim=1) < min(AGREEMENT, spread / 2)).sum())
    share = agreeing / min(len(content.mean), len(style.mean))
    low, high = EVIDENCE
    t = min(max((share - low) / (high - low), 0.0), 1.0)
    return aligned._replace(weight=t * t * (3 - 2 * t), polynomial=polynomial)
