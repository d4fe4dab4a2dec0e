"""The plain path: every step of style transfer as the paper writes it, on whole pictures, float32, slow and obvious.

The oracle of pcakd.stylize.engine and the baseline of the benchmarks.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from pcakd.student.network import LEVELS, Student
from pcakd.stylize.masks import Mask
from pcakd.stylize.smoothing import smooth_pixels
from pcakd.stylize.style import Style
from pcakd.stylize.transforms import Statistics, Transform
from tests.reference.statistics import feature_statistics
from tests.reference.transforms import matched

_MIN_REGION = 1.0
"""Pixels of a level that a masked region must cover; a smaller one takes the whole photo's map there."""


def pad_to_multiple(photo: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column of N×3×H×W until both sides are multiples, and at least two of them."""
    height, width = photo.shape[-2:]
    bottom = max(-(-height // multiple), 2) * multiple - height
    right = max(-(-width // multiple), 2) * multiple - width
    return F.pad(photo, (0, right, 0, bottom), mode="replicate") if bottom or right else photo


def encode_statistics(student: Student, photo: Tensor, weight: Tensor | None = None) -> tuple[Statistics, ...]:
    """Statistics of every level of a photo 1×3×H×W in [0, 1]; weight: 1×1×H×W of a region, or None."""
    x = pad_to_multiple(photo, student.spec.multiple)
    w = None if weight is None else pad_to_multiple(weight, student.spec.multiple)
    levels = []
    for level in range(LEVELS):
        x = student.encode_block(level, x)
        levels.append(feature_statistics(x, None if w is None else F.adaptive_avg_pool2d(w, (x.shape[2], x.shape[3]))))
    return tuple(levels)


def transfer(
    student: Student,
    content: Tensor,
    style: Style,
    *,
    transform: Transform = "zca",
    strength: float = 1.0,
    content_mask: Mask | None = None,
    region_styles: Mapping[str, Style] | None = None,
) -> Tensor:
    """Content photo 1×3×H×W in [0, 1] with the style's statistics: 1×3×H×W, clipped to [0, 1].

    Regions of `content_mask` whose label is in `region_styles` are matched, each by itself, to that style;
    the rest is matched as a whole to `style`.
    """
    height, width = content.shape[-2:]
    padded = pad_to_multiple(content, student.spec.multiple)
    weights, styles = _regions(content_mask, region_styles, padded, (height, width), student.spec.multiple)
    encoded = student.encode(padded)
    x = encoded.features[-1]
    for level in reversed(range(LEVELS)):
        if strength > 0:
            x = _match(x, level, style, weights, styles, transform, strength)
        x = student.decode_block(level, x, encoded.residuals[level])
    return x[..., :height, :width].clamp(0, 1)


def _regions(
    mask: Mask | None, styles: Mapping[str, Style] | None, padded: Tensor, size: tuple[int, int], multiple: int
) -> tuple[Tensor | None, list[Style]]:
    """Weights 1×R×H×W of the regions that have a style, at the padded photo's size, and those styles."""
    if mask is None or not styles:
        return None, []
    shared = [i for i, label in enumerate(mask.labels) if label in styles]
    if not shared:
        return None, []
    weights = mask.resized(*size)[shared][None].to(padded)
    return pad_to_multiple(weights, multiple), [styles[mask.labels[i]] for i in shared]


def _match(
    x: Tensor,
    level: int,
    style: Style,
    weights: Tensor | None,
    styles: list[Style],
    transform: Transform,
    strength: float,
) -> Tensor:
    whole = matched(transform, x, feature_statistics(x), style.levels[level], strength)
    if weights is None:
        return whole
    pooled = F.adaptive_avg_pool2d(weights, (x.shape[2], x.shape[3]))
    out = (1 - pooled.sum(1, keepdim=True)).clamp_min(0) * whole
    for region, region_style in enumerate(styles):
        weight = pooled[:, region : region + 1]
        if float(weight.sum()) < _MIN_REGION:
            out = out + weight * whole
            continue
        inside = feature_statistics(x, weight)
        out = out + weight * matched(transform, x, inside, region_style.levels[level], strength)
    return out


def reconstruct(student: Student, photo: Tensor) -> Tensor:
    """The photo 1×3×H×W in [0, 1] through encoder and decoder without any transfer, clipped to [0, 1]."""
    height, width = photo.shape[-2:]
    return student(pad_to_multiple(photo, student.spec.multiple))[..., :height, :width].clamp(0, 1)


def photo_tensor(rgb: Tensor, device: torch.device) -> Tensor:
    """uint8 H×W×3 → float32 1×3×H×W in [0, 1] on the device."""
    return rgb.to(device).permute(2, 0, 1)[None].float() / 255


def smooth(result: Tensor, content: Tensor) -> Tensor:
    """The released demo's last step: guided filter with the content photo as guide.

    result:  float 3×H×W in [0, 1], clipped. It is truncated to whole grey levels first, as the demo does.
    content: uint8 3×H×W.
    Returns uint8 3×H×W.
    """
    source = (result * 255).to(torch.uint8).permute(1, 2, 0)
    guide = content.permute(1, 2, 0)
    return smooth_pixels(source, guide, device=result.device).permute(2, 0, 1)
