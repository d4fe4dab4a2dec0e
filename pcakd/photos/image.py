"""A photo as a PIL image whose `save` keeps everything: what `Stylizer.stylize` gives."""

import os
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from pcakd.checks import one_of
from pcakd.errors import UsageError
from pcakd.files import write_atomic
from pcakd.photos.exif import pack_exif
from pcakd.photos.photo import Photo
from pcakd.photos.write import FORMATS, encode, format_for, to_image


class PhotoImage(Image.Image):
    """An RGB or RGBA image of 8 bits, with the whole photo in `photo`.

    `save` writes the photo: EXIF, XMP, IPTC, resolution, profile, 16 bits, all frames. What is done to the image
    itself (`paste`, `putpixel`, ...) is saved, too, in 8 bits. Methods that give another image give Pillow's own.
    """

    photo: Photo

    @classmethod
    def of(cls, photo: Photo) -> "PhotoImage":
        """The image of a photo (of its first frame)."""
        plain = to_image(*photo.encoded(8))
        image = cls()
        image.photo = photo
        image.im = plain.im
        image._mode, image._size = plain.mode, plain.size
        height, width = photo.size
        exif = pack_exif(photo.metadata.exif, width, height, srgb=True, resolution=photo.metadata.resolution)
        info = {"exif": exif, "icc_profile": photo.profile, "xmp": photo.metadata.xmp, "dpi": photo.metadata.resolution}
        image.info = {key: value for key, value in info.items() if value}
        return image

    def save(
        self, fp: str | bytes | os.PathLike[str] | os.PathLike[bytes] | IO[bytes], format: str | None = None, **params
    ) -> None:
        """Write to a path (whole or not at all) or a binary file.

        format: Pillow's name; by default the path's suffix says it (see `pcakd.photos.write.FORMATS`). quality:
        1..100. Transparency goes over white in JPEG. Pillow's other options are refused: they would be lost.
        Raises UsageError, and PhotoError for what the format cannot hold.
        """
        quality = params.pop("quality", 95)
        if params:
            raise UsageError(
                f"save has no option {', '.join(sorted(params))}; with PIL: Image.Image.copy(image).save(...)"
            )
        if not isinstance(quality, int) or not 1 <= quality <= 100:
            raise UsageError(f"quality is {quality!r}: give a whole number from 1 to 100")
        path = Path(os.fsdecode(fp)) if isinstance(fp, str | bytes | os.PathLike) else None
        if format is None and path is None:
            raise UsageError(f"save to a file object needs a format: one of {', '.join(sorted(set(FORMATS.values())))}")
        wanted = format.upper() if format is not None else format_for(path)  # type: ignore[arg-type]
        wanted = {"JPG": "JPEG", "TIF": "TIFF"}.get(wanted, wanted)
        one_of("format", wanted, sorted(set(FORMATS.values())))
        data = encode(self.current(), wanted, quality=quality, name=str(path or "photo")).data
        if path is not None:
            write_atomic(path, data)
        else:
            fp.write(data)  # type: ignore[union-attr]

    def current(self) -> Photo:
        """The photo, with the image's pixels where they were changed."""
        rgb, alpha = self.photo.encoded(8)
        pixels = np.asarray(self.convert("RGBA" if self.mode == "RGBA" else "RGB"))
        own = np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 else None
        same = pixels.shape[:2] == rgb.shape[:2] and np.array_equal(pixels[..., :3], rgb)
        if same and (own is alpha if own is None or alpha is None else np.array_equal(own, alpha)):
            return self.photo
        return replace(self.photo, rgb=np.ascontiguousarray(pixels[..., :3]), alpha=own, bits=8, beyond=None, frames=())
