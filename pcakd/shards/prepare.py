"""One object's bytes → the photo as it goes into a shard."""

import time
from dataclasses import dataclass, field, replace

from PIL import Image, ImageStat

from pcakd.errors import PhotoError
from pcakd.photos.hidden import without_hidden
from pcakd.photos.images import encode_photo, read_photo, to_image
from pcakd.photos.shrink import resized
from pcakd.storage import sha256_hex

JPEG_LONGEST_SIDE = 65_500
"""libjpeg's limit in pixels."""


@dataclass(frozen=True, kw_only=True)
class PreparedPhoto:
    """A photo that was decoded whole, shrunk and encoded again.

    image:         JPEG bytes, upright, sRGB, without EXIF.
    width, height: of `image`; source_width, source_height: upright, before shrinking.
    colour:        mean red, green and blue of `image` before its encoding, 0 to 255; None where it is not known.
    notes:         what is not as one might think, in words.
    seconds:       spent in "decode", "resize" and "encode".
    """

    image: bytes = field(repr=False)
    width: int
    height: int
    source_width: int
    source_height: int
    sha256: str
    colour: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(compare=False)


def prepare_photo(
    data: bytes, *, name: str, shortest_side: int, quality: int = 95, max_pixels: int | None = None
) -> PreparedPhoto:
    """Decode, shrink to the shortest side in pixels (never enlarge), encode as JPEG.

    JPEG has no alpha: what is invisible takes the colours around it, so that statistics are of what is seen. Of
    several frames or pages the first counts. max_pixels: as `read_photo` has it. Raises PhotoError with its reason.
    """
    start = time.perf_counter()
    photo = read_photo(data, name=name, max_pixels=max_pixels)
    decoded = time.perf_counter()
    height, width = photo.size
    count = len(photo.pages)
    notes = (f"the first of {count} pictures in it",) if count > 1 else photo.notes
    small = without_hidden(replace(photo, frames=()))
    if (size := shrunk_size(width, height, shortest_side)) != (width, height):
        small = resized(small, size, Image.Resampling.BICUBIC)
    unseen = small.alpha is not None and not small.alpha.any()
    image = Image.new("RGB", (small.size[1], small.size[0]), "white") if unseen else to_image(small.rgb8)
    shrunk = time.perf_counter()
    if max(image.size) > JPEG_LONGEST_SIDE:
        raise PhotoError(
            f"{name}: is {image.width}×{image.height} pixels after shrinking, over JPEG's {JPEG_LONGEST_SIDE:,} a side",
            reason="unsupported",
        )
    encoded = encode_photo(image, "JPEG", quality=quality)
    done = time.perf_counter()
    return PreparedPhoto(
        image=encoded,
        width=image.width,
        height=image.height,
        source_width=width,
        source_height=height,
        sha256=sha256_hex(encoded),
        colour=tuple(ImageStat.Stat(image).mean),
        notes=notes,
        seconds={"decode": decoded - start, "resize": shrunk - decoded, "encode": done - shrunk},
    )


def shrunk_size(width: int, height: int, shortest_side: int) -> tuple[int, int]:
    """(width, height) with the shortest side at most `shortest_side`, same shape, never larger."""
    scale = shortest_side / min(width, height)
    if scale >= 1:
        return width, height
    return max(1, round(width * scale)), max(1, round(height * scale))
