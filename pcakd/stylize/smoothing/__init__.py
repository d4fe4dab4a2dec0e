"""The guided filter that ends every stylization: it gives the result the content photo's edges."""

import torch
from torch import Tensor

from pcakd.stylize.smoothing.plain import EPSILON, RADIUS, adjugate, box_mean, guided_filter
from pcakd.stylize.smoothing.running import filter_pixels
from pcakd.stylize.strips import cut

__all__ = ["EPSILON", "RADIUS", "adjugate", "box_mean", "filter_pixels", "guided_filter", "smooth_pixels"]

_STRIP_PIXELS = 1 << 22


def smooth_pixels(
    source: Tensor,
    guide: Tensor,
    *,
    radius: int = RADIUS,
    epsilon: float = EPSILON,
    device: torch.device | None = None,
) -> Tensor:
    """Guided filter of uint8 H×W×3 by uint8 H×W×3: uint8 H×W×3, on the source's device.

    Of deep photos: float32 0..255 by uint16 (0..65535), giving float32 0..255, not rounded.
    device: where it is computed; a CPU uses running sums, others (and deep photos) prefix sums over strips with halos.
    """
    device, deep = device or source.device, source.dtype == torch.float32
    if device.type == "cpu" and not deep:
        return filter_pixels(source, guide, radius=radius, epsilon=epsilon)
    height, width = source.shape[:2]
    out = torch.empty_like(source)
    for start, stop in cut(height, max(_STRIP_PIXELS // width, 4 * radius)):
        first, last = max(start - 2 * radius, 0), min(stop + 2 * radius, height)
        rows = [picture[first:last].to(device).permute(2, 0, 1).float() for picture in (guide, source)]
        if deep:
            rows[0] /= 257
        filtered = guided_filter(rows[0], rows[1], radius=radius, epsilon=epsilon)[:, start - first : stop - first]
        filtered = filtered.clamp_(0, 255) if deep else filtered.round_().clamp_(0, 255).to(torch.uint8)
        out[start:stop] = filtered.permute(1, 2, 0)
    return out
