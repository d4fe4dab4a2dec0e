"""How the paper's demo prepares its photos, for comparisons with what its authors published."""

import numpy as np
import torch
from torch.nn import functional as F

from pcakd.errors import UsageError
from pcakd.photos.depth import to_8_bits
from pcakd.photos.images import Photo


def resize_like_authors(photo: Photo, multiple: int) -> Photo:
    """The photo as the released demo resizes it: sides cut to multiples by plain bilinear sampling.

    Raises UsageError for a photo smaller than one multiple.
    """
    height, width = (side // multiple * multiple for side in photo.size)
    if not height or not width:
        raise UsageError(
            f"a photo of {photo.size[1]}×{photo.size[0]} pixels has no multiple of {multiple} to be cut to"
        )
    pixels = torch.from_numpy(photo.rgb if photo.rgb.dtype == np.uint8 else to_8_bits(photo.rgb))
    samples = pixels.permute(2, 0, 1)[None].float()
    resized = F.interpolate(samples, size=(height, width), mode="bilinear", align_corners=False)
    rgb = resized[0].permute(1, 2, 0).round().to(torch.uint8).numpy()
    return Photo(rgb=rgb, metadata=photo.metadata, format=photo.format)
