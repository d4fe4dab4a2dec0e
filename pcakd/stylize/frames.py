"""Several frames or pages as one tall photo, so that all of them get one look.

Statistics are those of all frames together and one map serves them all: what stands still does not flicker. Frames
have a margin above and below, filled from their edges: neither the network nor the guided filter sees from one frame
into the next. Every frame begins on a multiple of `STEP`: equal frames give equal results.
"""

import math
from dataclasses import replace

import numpy as np

from pcakd.photos.depth import to_16_bits
from pcakd.photos.images import Photo

STEP = 16
"""The coarsest level's pixel."""

MARGIN = 96
"""Rows above and below each frame, a multiple of `STEP`: more than the 60 that a guided filter of radius 30 sees
through its two passes, and more than the network sees."""


def stack(pages: tuple[Photo, ...]) -> Photo:
    """One photo of all pages, one below the other; margins have alpha 0 and their page's edge colours."""
    width = max(page.size[1] for page in pages)
    deep = any(page.rgb.dtype == np.uint16 for page in pages)
    dtype = np.uint16 if deep else np.uint8
    colours, alphas = [], []
    for page in pages:
        page = page.with_pixels(page.rgb if not deep or page.rgb.dtype == dtype else to_16_bits(page.rgb))
        rgb, alpha = page.rgb, page.alpha
        height, own = page.size
        margin = ((MARGIN, _below(height)), (0, width - own))
        colours.append(np.pad(rgb, (*margin, (0, 0)), mode="edge"))
        seen = np.full(page.size, np.iinfo(dtype).max, dtype) if alpha is None else alpha
        alphas.append(np.pad(seen, margin))
    return Photo(rgb=np.concatenate(colours), alpha=np.concatenate(alphas))


def unstack(rgb: np.ndarray, pages: tuple[Photo, ...]) -> Photo:
    """The pages with the colours of the tall result: the first, with the others as its frames."""
    results, top = [], MARGIN
    for page in pages:
        height, width = page.size
        results.append(replace(page, frames=()).with_pixels(np.ascontiguousarray(rgb[top : top + height, :width])))
        top += height + _below(height) + MARGIN
    return replace(results[0], frames=tuple(results[1:]))


def _below(height: int) -> int:
    """Rows of the margin below a page: the next one begins on a multiple of `STEP`."""
    return math.ceil((height + MARGIN) / STEP) * STEP - height
