"""What takes the place of colours that nobody sees.

Colours under alpha 0 are whatever the program left there that made the cut-out. They must not move what is seen:
not through statistics (these are weighed by alpha), nor through convolutions, filters and shrinking, which look
across the edge. So they are replaced by the visible colours around them, by pull and push over a pyramid (Gortler
et al., "The Lumigraph", 1996): averages of what is seen, coarser and coarser, until every pixel has one.
"""

from dataclasses import replace

import numpy as np
from PIL import Image

from pcakd.photos.photo import Photo


def without_hidden(photo: Photo) -> Photo:
    """The photo with invisible colours replaced; itself where there are none, or nothing else."""
    alpha = photo.alpha
    if alpha is None or alpha.all() or not alpha.any():
        return photo
    filled = _fill(photo.rgb.astype(np.float32), alpha.astype(np.float32))
    colours = filled.round().astype(photo.rgb.dtype)
    return replace(photo, rgb=np.where(alpha[..., None] == 0, colours, photo.rgb))


def _fill(colours: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Colours float32 H×W×3 where the weight H×W is above 0, elsewhere those around."""
    height, width = weight.shape
    if weight.min() > 0 or height * width == 1:
        return colours
    padding = ((0, height % 2), (0, width % 2))
    weights = _halved(np.pad(weight, padding))
    coarse = _halved(np.pad(colours * weight[..., None], (*padding, (0, 0)))) / np.maximum(weights, 1e-30)[..., None]
    around = _fill(coarse, weights)
    size = (width + width % 2, height + height % 2)
    planes = [Image.fromarray(around[..., i]).resize(size, Image.Resampling.BILINEAR) for i in range(3)]
    larger = np.stack([np.asarray(plane) for plane in planes], axis=-1)[:height, :width]
    return np.where(weight[..., None] > 0, colours, larger)


def _halved(plane: np.ndarray) -> np.ndarray:
    """Means of 2×2 pixels."""
    return np.ascontiguousarray((plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]) / 4)
