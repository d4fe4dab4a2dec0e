"""Smaller photos, so that what is invisible stays out of the edges."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image

from pcakd.photos.hidden import without_hidden
from pcakd.photos.photo import Photo


def to_longest_side(photo: Photo, max_side: int | None) -> Photo:
    """The photo and its frames, the longest side of all at most `max_side` pixels; itself where it is that already."""
    longest = max(max(page.size) for page in photo.pages)
    if max_side is None or longest <= max_side:
        return photo
    scale = max_side / longest
    pages = [
        resized(page, (max(1, round(page.size[1] * scale)), max(1, round(page.size[0] * scale))))
        for page in photo.pages
    ]
    return replace(pages[0], frames=tuple(pages[1:]))


def resized(photo: Photo, size: tuple[int, int], filter: Image.Resampling = Image.Resampling.LANCZOS) -> Photo:
    """A photo of one frame at another size, (width, height). Colours are weighed by alpha; deep ones stay deep."""

    def plane(samples: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(np.ascontiguousarray(samples)).resize(size, filter))

    if photo.alpha is None and photo.rgb.dtype == np.uint8 and photo.beyond is None:
        return replace(photo, rgb=plane(photo.rgb), frames=())
    top = float(np.iinfo(photo.rgb.dtype).max)
    rgb, alpha = without_hidden(photo).rgb.astype(np.float32), None
    if photo.alpha is None:
        colours = _planes(rgb, plane)
    else:
        weight = photo.alpha.astype(np.float32) / top
        share = plane(weight)[..., None]
        # Where nothing is seen, the colours around stand: any will do, as long as hidden ones take no part.
        colours = np.where(
            share > 1e-3, _planes(rgb * weight[..., None], plane) / np.maximum(share, 1e-3), _planes(rgb, plane)
        )
        alpha = (share[..., 0] * top).round().clip(0, top).astype(photo.alpha.dtype)
    beyond = None
    if photo.beyond is not None:
        beyond = _planes(photo.beyond.astype(np.float32), plane).astype(np.float16)
    return replace(
        photo, rgb=colours.round().clip(0, top).astype(photo.rgb.dtype), alpha=alpha, beyond=beyond, frames=()
    )


def _planes(samples: np.ndarray, plane: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return np.stack([plane(samples[..., i]) for i in range(3)], axis=-1)
