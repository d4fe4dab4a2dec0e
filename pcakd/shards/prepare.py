"""One object's bytes → the photo as it goes into a shard."""

import time
from dataclasses import dataclass, field

from PIL import Image

from pcakd.errors import PhotoError
from pcakd.photos.images import encode_photo, read_photo, to_image
from pcakd.storage import sha256_hex

JPEG_LONGEST_SIDE = 65_500
"""libjpeg's limit in pixels."""


@dataclass(frozen=True, kw_only=True)
class PreparedPhoto:
    """A photo that was decoded whole, shrunk and encoded again.

    image:         JPEG bytes, upright, sRGB, without EXIF.
    width, height: of `image`; source_width, source_height: upright, before shrinking.
    seconds:       spent in "decode", "resize" and "encode".
    """

    image: bytes = field(repr=False)
    width: int
    height: int
    source_width: int
    source_height: int
    sha256: str
    seconds: dict[str, float] = field(compare=False)


def prepare_photo(
    data: bytes, *, name: str, shortest_side: int, quality: int = 95, max_pixels: int | None = None
) -> PreparedPhoto:
    """Decode, shrink to the shortest side in pixels (never enlarge), encode as JPEG.

    Transparent parts are laid over white. max_pixels: as `read_photo` has it. Raises PhotoError with its reason.
    """
    start = time.perf_counter()
    photo = read_photo(data, name=name, max_pixels=max_pixels)
    decoded = time.perf_counter()
    image = to_image(photo.rgb, photo.alpha)
    if photo.alpha is not None:
        # Before shrinking: the colours under transparent pixels must not bleed into their neighbours.
        paper = Image.new("RGB", image.size, "white")
        paper.paste(image, mask=image.getchannel("A"))
        image = paper
    image = image.resize(shrunk_size(image.width, image.height, shortest_side), Image.Resampling.BICUBIC)
    resized = time.perf_counter()
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
        source_width=photo.rgb.shape[1],
        source_height=photo.rgb.shape[0],
        sha256=sha256_hex(encoded),
        seconds={"decode": decoded - start, "resize": resized - decoded, "encode": done - resized},
    )


def shrunk_size(width: int, height: int, shortest_side: int) -> tuple[int, int]:
    """(width, height) with the shortest side at most `shortest_side`, same shape, never larger."""
    scale = shortest_side / min(width, height)
    if scale >= 1:
        return width, height
    return max(1, round(width * scale)), max(1, round(height * scale))
