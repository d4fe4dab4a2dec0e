"""Where models registered before the rooms of `pcakd/photos/` were built look for this name; their code is kept."""

from pcakd.photos.images import encode_photo

__all__ = ["encode_photo"]
