"""Grey styles: a black-and-white photo as style asks for a black-and-white result.

Statistics of features come near that, and leave a tint: features are not colours. Whether a style is grey is read
off its cells, so that styles saved by earlier versions say so, too.
"""

import torch
from torch import Tensor

from pcakd.stylize.strips import cut, map_strips
from pcakd.stylize.style import Style

GREY = 2 / 255
"""Root mean square of the differences between channels below which a style counts as grey: a grey photo as colour
JPEG stays below, the faintest sepia does not."""

LUMA = torch.tensor([0.2126, 0.7152, 0.0722])  # Rec. 709
_PIXELS = 1 << 20


def is_grey(style: Style) -> bool:
    """Whether a style has no colour. A style without cells cannot tell: False."""
    if style.cells is None or not len(style.cells.second):
        return False
    second = style.cells.second.double().mean(0)  # mean of RGB·RGBᵀ
    pairs = ((0, 1), (1, 2), (0, 2))
    squares = [float(second[i, i] + second[j, j] - 2 * second[i, j]) for i, j in pairs]
    return max(*squares, 0.0) ** 0.5 < GREY


def to_grey(pixels: Tensor, strength: float) -> Tensor:
    """Pixels uint8 H×W×3 (or float32 0..255) a fraction `strength` of the way to their luma; the same type."""
    out = torch.empty_like(pixels)

    def strip(start: int, stop: int) -> None:
        part = pixels[start:stop].float()
        grey = torch.lerp(part, (part @ LUMA)[..., None], strength)
        out[start:stop] = grey if out.dtype == torch.float32 else grey.round().to(torch.uint8)

    map_strips(strip, cut(len(pixels), max(1, _PIXELS // pixels.shape[1])), pixels.device)
    return out
