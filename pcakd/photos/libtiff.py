"""Pillow's libtiff, kept from writing to stderr: a damaged file is told by the error that it ends in."""

import ctypes
from contextlib import suppress

from PIL import Image


def quiet() -> None:
    """Take libtiff's handler of errors away; without effect where Pillow was built with another libtiff than the one
    that its module brings along."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)
