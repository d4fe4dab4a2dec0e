"""The student decides: from a small photo, or several, and a style to a look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pcakd.photos.photo import Photo
from pcakd.student.network import Student
from pcakd.stylize.engine import SharedFeatures, encode_statistics, transfer
from pcakd.stylize.engine.moments import moments
from pcakd.stylize.look.fit import Aim, LookMoments, gather, solve
from pcakd.stylize.look.look import Look, fit_look, small_copy
from pcakd.stylize.masks import Mask
from pcakd.stylize.smoothing import smooth_pixels
from pcakd.stylize.strips import strips_alone
from pcakd.stylize.style import Style
from pcakd.stylize.transforms import Statistics

ALIKE = 0.05
"""Root mean square, [0, 1], of what a style changes, from which on the student's own error is left in the result.
Below, as much of it is taken out as the style changes less: a photo in its own style stays as it is."""

_SURELY_MORE = 0.12
"""A result this far from its content is changed by more than `ALIKE`, whatever the student's error (0.01 to 0.03)."""

FILTERED = 0.5
"""Share of the guided filter, which ends every full rendering, in the result that a photo's look is fitted to. What the
decoder makes has more contrast, most of it fine: given back by a look it would be the content's texture, amplified.
With all of the filter less of the styles that have more texture than the content comes through (docs/looks.md)."""

SERIES_AIM = Aim(restored=0.4)
"""Of a series' looks: less contrast than a photo's, and chroma as the student has it, for noise grows with both, and
what is noise in a photo flickers in a clip."""

SERIES = 16
"""Photos of a series that decide its look: together they are as large as one of 4 megapixels."""


@dataclass(frozen=True)
class Small:
    """A photo as the student decides on it.

    photo:   float32 1×3×h×w in [0, 1], see `small_copy`.
    visible: h×w, how much each pixel counts; None where all count alike.
    """

    photo: Tensor
    visible: Tensor | None = None

    @classmethod
    def of(cls, photo: Photo) -> "Small":
        """The small copy of a photo whose hidden colours are replaced."""
        copy, seen = small_copy(photo.rgb), photo.visible()
        if seen is None:
            return cls(copy)
        return cls(copy, F.interpolate(torch.from_numpy(seen)[None, None], size=copy.shape[-2:], mode="area")[0, 0])

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.photo.shape[-2], self.photo.shape[-1]

    @property
    def pixels(self) -> Tensor:
        """h×w×3 on the CPU."""
        return self.photo[0].permute(1, 2, 0).cpu()

    def counted(self, weight: Tensor | None = None) -> Tensor | None:
        """1×1×h×w of how much a pixel counts, within a region's weight h×w; None where all count alike."""
        if weight is None:
            return None if self.visible is None else self.visible[None, None]
        return (weight if self.visible is None else weight * self.visible)[None, None]


def style_colours(small: Small, weight: Tensor | None = None) -> Statistics:
    """Mean and covariance of a style photo's colours, within a region's weight h×w; of the small copy, as all that
    looks know of it."""
    return moments(small.photo, small.counted(weight)).statistics()


@strips_alone()
def decide(
    student: Student,
    small: Small,
    style: Style,
    *,
    content_mask: Mask | None = None,
    region_styles: Mapping[str, Style] | None = None,
    **how: Any,
) -> Look:
    """The look of a photo in a style, at full strength, without any grade. how: of `engine.transfer`: transform,
    balance, settings.

    Regions of `content_mask` whose label is in `region_styles` have a grid of their own.
    """
    regions = {label: _for_looks(region) for label, region in (region_styles or {}).items()}
    result = _result(student, small, style, how, FILTERED, content_mask=content_mask, region_styles=regions)
    weights: dict[str, Tensor] = {}
    if content_mask is not None:
        resized = content_mask.resized(*small.size)
        found = zip(content_mask.labels, resized, strict=True)
        weights = {label: weight for label, weight in found if label in regions}
    share = how.get("balance", 1.0)  # of the way to the style that the transform goes
    return fit_look(
        small.pixels,
        result[0].permute(1, 2, 0).cpu(),
        weights,
        small.visible,
        aim=Aim(style.colours, share),
        region_aims={label: Aim((region_styles or {})[label].colours, share) for label in weights},
    )


@strips_alone()
def decide_for_all(student: Student, photos: Sequence[Small], style: Style, **how: Any) -> Look:
    """One look for all photos of a series, each counting the same. how: as for `decide`.

    The student sees them as one picture, below each other: statistics are those of all of them, and so is the fit.
    What a photo lacks in width or to a whole multiple is its own reflection, and does not count.
    """
    multiple = student.spec.multiple
    width = _whole(max(small.size[1] for small in photos), multiple)
    tiles, seen = [], []
    for small in photos:
        height = _whole(small.size[0], multiple)
        tiles.append(_grown(small.photo, height, width))
        own = torch.ones(small.size) if small.visible is None else small.visible
        seen.append(F.pad(own / own.sum().clamp_min(1e-6), (0, width - small.size[1], 0, height - small.size[0])))
    visible = torch.cat(seen)
    sheet = Small(torch.cat(tiles, dim=-2), visible / visible.max())
    result = _result(student, sheet, style, how)
    pixels = result[0].permute(1, 2, 0).cpu()
    return Look(solve(gather(sheet.pixels, pixels, visible * 1e6).without_place(), SERIES_AIM))


@strips_alone()
def told_by(student: Student, small: Small, style: Style, **how: Any) -> LookMoments:
    """What one frame of a series tells of its look, whatever the place. how: as for `decide`."""
    result = _result(student, small, style, how)
    return gather(small.pixels, result[0].permute(1, 2, 0).cpu(), small.visible).without_place()


def look_of(told: LookMoments) -> Look:
    """The one function of colour that moments of a series tell of."""
    return Look(solve(told, SERIES_AIM))


def without_place(look: Look, small: Small) -> Look:
    """The one function of colour that is nearest to what a look does to a photo."""
    pixels = small.pixels
    result = torch.from_numpy(look.apply(pixels.contiguous().numpy()))
    return Look(solve(gather(pixels, result, small.visible).without_place()))


def spread_over(count: int) -> list[int]:
    """Which photos of so many decide a series' look: at most `SERIES`, the first and others evenly."""
    return [i * count // SERIES for i in range(SERIES)] if count > SERIES else list(range(count))


def _whole(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple


def _for_looks(style: Style) -> Style:
    """The style as the engine takes it, with the statistics of the small copy where it has them."""
    return Style(style.small or style.levels, style.model)


def _result(
    student: Student, small: Small, style: Style, how: Mapping[str, Any], filtered: float = 0.0, **regions: Any
) -> Tensor:
    """What the student makes of a small photo, 1×3×h×w on the student's device, with a share of the guided filter;
    without the student's own error, which its result in the photo's own style shows, as far as the style leaves the
    photo alone. regions: of `engine.transfer`."""

    shared = SharedFeatures()

    def made(style: Style, **regions: Any) -> Tensor:
        result = transfer(student, small.photo, style, visible=small.visible, shared=shared, **regions, **how)
        return torch.lerp(result, _guided(small.photo, result), filtered) if filtered else result

    result = made(_for_looks(style), **regions)
    photo = small.photo.to(result.device)
    if _distance(result, photo) > _SURELY_MORE:
        return result
    levels = encode_statistics(student, photo, small.counted(), settings=how.get("settings"), shared=shared)
    own = made(Style(levels, ""))
    share = max(0.0, 1 - _distance(result, own) / ALIKE)
    return result + share * (photo - own) if share else result


def _guided(photo: Tensor, result: Tensor) -> Tensor:
    """The guided filter of a result by its photo, both 1×3×h×w; rounded to 8 bits."""
    guide, source = ((x[0].permute(1, 2, 0).clamp(0, 1) * 255).round().to(torch.uint8) for x in (photo, result))
    filtered = smooth_pixels(source.contiguous(), guide.contiguous().to(source.device))
    return filtered.permute(2, 0, 1)[None].to(result.dtype) / 255


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).square().mean().sqrt())


def _grown(photo: Tensor, height: int, width: int) -> Tensor:
    """The photo continued to the right and below by reflection, as often as needed."""
    while photo.shape[-2:] != (height, width):
        right = min(width - photo.shape[-1], photo.shape[-1])
        bottom = min(height - photo.shape[-2], photo.shape[-2])
        photo = torch.cat([photo, photo.flip(-1)[..., :right]], -1) if right else photo
        photo = torch.cat([photo, photo.flip(-2)[..., :bottom, :]], -2) if bottom else photo
    return photo
