"""The fast path of style transfer: global statistics level by level, everything else in strips.

    encode_statistics(student, photo)           statistics of every level of a style photo
    encode_features(student, photo, levels)     features of a small photo, whole
    transfer(student, content, style)           the content with the style's statistics, float in [0, 1]
    transfer_pixels(student, content, style)    the same as uint8, in bounded memory
    reconstruct(student, photo)                 the photo through encoder and decoder alone

Results do not depend on how the photo was cut (to 1e-6); tests/reference holds the slow and plain version of
the same arithmetic.
"""

from pcakd.stylize.engine.precision import PRECISIONS, Precision
from pcakd.stylize.engine.run import (
    EngineSettings,
    SharedFeatures,
    encode_features,
    encode_statistics,
    photo_tensor,
    reconstruct,
    transfer,
    transfer_pixels,
)

__all__ = [
    "PRECISIONS",
    "EngineSettings",
    "Precision",
    "SharedFeatures",
    "encode_features",
    "encode_statistics",
    "photo_tensor",
    "reconstruct",
    "transfer",
    "transfer_pixels",
]
