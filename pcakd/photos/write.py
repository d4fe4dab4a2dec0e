"""The one writer: a photo and a format in, an encoded file and words on what it has no room for out."""

import io
import os
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from pcakd.errors import PhotoError, UsageError
from pcakd.photos import png
from pcakd.photos.exif import Exif, main_table, pack_exif, photo_table
from pcakd.photos.metadata import PhotoMetadata
from pcakd.photos.photo import Photo
from pcakd.photos.tags import Table, ascii_text
from pcakd.photos.tiff import Tags, write_tiff
from pcakd.photos.xmp import clean_xmp, fit_xmp

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
FORMATS |= {".avif": "AVIF", ".gif": "GIF"}
"""File name suffixes that a result can be written under, and Pillow's name of the format."""

NAMES = {"JPEG": "JPEG", "PNG": "PNG", "WEBP": "WebP", "TIFF": "TIFF", "AVIF": "AVIF", "GIF": "GIF"}
LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383, "AVIF": 65_536, "GIF": 65_535}
"""Pixels a side that a format has room for."""

DEEP = ("PNG", "TIFF")
ANIMATED = ("PNG", "WEBP", "GIF", "AVIF")
PAGED = ("TIFF",)

_SEGMENT = 65_000
"""Bytes of a JPEG segment, less what stands before the content."""


@dataclass(frozen=True)
class EncodedPhoto:
    """A file's bytes. notes: what the format has no room for, in words."""

    data: bytes
    notes: tuple[str, ...] = ()


def format_for(path: str | os.PathLike) -> str:
    """Pillow's format name for an output path. Raises UsageError naming the suffixes that can be written."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(f"{path}: cannot write {suffix or 'a file without suffix'}; use one of {', '.join(FORMATS)}")
    return FORMATS[suffix]


def check_writable(photo: Photo, format: str, name: str) -> None:
    """Raise PhotoError "unsupported" where a format cannot hold a photo: before anything is computed for it."""
    limit, (height, width) = LONGEST_SIDE.get(format), photo.size
    if limit and max(height, width) > limit:
        raise PhotoError(
            f"{name}: has {width}×{height} pixels, and {NAMES[format]} ends at {limit:,} a side; write PNG or TIFF",
            reason="unsupported",
        )
    count = len(photo.pages)
    if count == 1:
        return
    kind = "frames" if photo.timing else "pages"
    if format not in ANIMATED + PAGED:
        raise PhotoError(
            f"{name}: has {count} {kind}, and {NAMES[format]} holds one picture; write TIFF, PNG, WebP or GIF",
            reason="unsupported",
        )
    if format in ANIMATED and len({page.size for page in photo.pages}) > 1:
        raise PhotoError(
            f"{name}: has {count} {kind} of different sizes, which only TIFF has room for", reason="unsupported"
        )


def encode(photo: Photo, format: str, *, quality: int = 95, name: str = "photo") -> EncodedPhoto:
    """Encode a photo, or all its frames, in a format of FORMATS, with its metadata rebuilt for it.

    JPEG has no alpha: the photo is laid over white. quality: 1..100, of JPEG, AVIF and lossy WebP. Deterministic for
    the same photo and library versions. Raises PhotoError "unsupported" for what the format cannot hold.
    """
    check_writable(photo, format, name)
    notes = [*photo.notes]
    deepest = max(page.bits for page in photo.pages)
    bits = deepest if format in DEEP else 8
    if bits < deepest:
        notes.append(f"8 bits a channel, {NAMES[format]} has no 16")
    if bits == 16 and format == "PNG" and photo.frames:
        bits = 8
        notes.append("8 bits a channel, as animations are written")
    writer = {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp, "TIFF": _tiff, "AVIF": _avif, "GIF": _gif}[format]
    try:
        data = writer(_Job(photo, bits, quality, name, notes))
    except (OSError, ValueError, struct.error, SyntaxError, TypeError, OverflowError) as error:
        # Pillow's encoders have no error class of their own; whatever they refuse, they refuse for good.
        detail = " ".join(str(error).split()) or type(error).__name__
        raise PhotoError(f"{name}: cannot be written as {NAMES[format]} ({detail})", reason="unsupported") from None
    return EncodedPhoto(data, tuple(notes))


@dataclass(frozen=True)
class _Job:
    photo: Photo
    bits: int
    quality: int
    name: str
    notes: list[str]

    @property
    def metadata(self) -> PhotoMetadata:
        return self.photo.metadata

    def exif(self, room: int | None = None, *, resolution: bool = False) -> bytes:
        """The EXIF block; with `room`, without the longest values until it fits."""
        found, (height, width) = self.metadata.exif, self.photo.size
        own = self.metadata.resolution if resolution else None
        if not found and own:
            found = Exif(main=main_table(found, own))
        srgb = self.photo.beyond is None and not _keeps_space(self.photo)
        block, left_out = pack_exif(found, width, height, srgb=srgb, resolution=self.metadata.resolution), False
        while room is not None and len(block) > room:
            found, left_out = _without_longest(found), True
            block = pack_exif(found, width, height, srgb=srgb, resolution=self.metadata.resolution)
        if left_out:
            self.notes.append("without the EXIF values that JPEG's 64 kB have no room for")
        return block

    def xmp(self, *, with_iptc: bool) -> bytes:
        """The XMP packet; with IPTC's captions and rights where the format has no IPTC."""
        if not with_iptc or not self.metadata.iptc:
            return self.metadata.xmp
        return clean_xmp(self.metadata.xmp, self.metadata.iptc)

    def image(self, page: Photo, *, alpha: bool = True) -> Image.Image:
        rgb, opacity = page.encoded(8)
        image = to_image(rgb, opacity)
        if opacity is None or alpha:
            return image
        paper = Image.new("RGB", image.size, "white")
        paper.paste(image, mask=image.getchannel("A"))
        return paper


def to_image(rgb: np.ndarray, alpha: np.ndarray | None = None) -> Image.Image:
    """A PIL image, RGB or RGBA, from uint8 H×W×3 and an optional uint8 H×W alpha."""
    image = Image.fromarray(np.ascontiguousarray(rgb))
    if alpha is not None:
        image.putalpha(Image.fromarray(np.ascontiguousarray(alpha)))
    return image


def _keeps_space(photo: Photo) -> bool:
    from pcakd.photos.colour import SRGB_PROFILE

    return bool(photo.profile) and photo.profile != SRGB_PROFILE


def _without_longest(exif: Exif) -> Exif:
    tables: dict[str, Table] = {name: dict(getattr(exif, name)) for name in ("main", "photo", "gps")}
    name, tag = max(
        ((name, tag) for name, table in tables.items() for tag in table), key=lambda at: len(tables[at[0]][at[1]].data)
    )
    del tables[name][tag]
    return Exif(**tables)


def _saved(image: Image.Image, format: str, options: dict) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=format, **{key: value for key, value in options.items() if value})
    return buffer.getvalue()


def _jpeg(job: _Job) -> bytes:
    metadata, quality = job.metadata, job.quality
    options: dict = {"exif": job.exif(_SEGMENT), "icc_profile": job.photo.profile}
    packet = fit_xmp(job.xmp(with_iptc=False), _SEGMENT)
    if packet != metadata.xmp:
        job.notes.append("without the XMP values that JPEG's 64 kB have no room for")
    options["xmp"] = packet
    if metadata.iptc and len(metadata.iptc) <= _SEGMENT:
        body = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(metadata.iptc)) + metadata.iptc
        body += b"\0" * (len(metadata.iptc) % 2)
        options["extra"] = b"\xff\xed" + struct.pack(">H", len(body) + 2) + body
    elif metadata.iptc:
        job.notes.append("without IPTC, JPEG has room for 64 kB")
    if metadata.resolution:
        options["dpi"] = tuple(min(65535, max(1, round(value))) for value in metadata.resolution)
    options["comment"] = metadata.comment.encode()
    if len(options["comment"]) > _SEGMENT:
        options["comment"] = options["comment"][:_SEGMENT].decode(errors="ignore").encode()
        job.notes.append("the comment cut at JPEG's 64 kB")
    options |= {"quality": quality, "subsampling": 0 if quality >= 90 else 2}
    buffer = io.BytesIO()
    kept = {key: value for key, value in options.items() if value or key == "subsampling"}
    job.image(job.photo, alpha=False).save(buffer, format="JPEG", **kept)
    return buffer.getvalue()


def _png(job: _Job) -> bytes:
    metadata = job.metadata
    packet, exif = job.xmp(with_iptc=True).decode(), job.exif()
    if job.bits == 16:
        rgb, alpha = job.photo.encoded(16)
        samples = rgb if alpha is None else np.dstack([rgb, alpha])
        chunks = [png.profile_chunk(job.photo.profile)] if job.photo.profile else []
        chunks += [png.resolution_chunk(metadata.resolution)] if metadata.resolution else []
        chunks += [(b"eXIf", exif[6:])] if exif else []
        chunks += [png.text_chunk("XML:com.adobe.xmp", packet)] if packet else []
        chunks += [png.text_chunk("Comment", metadata.comment)] if metadata.comment else []
        return png.write_png16(samples, chunks=chunks)
    text = PngImagePlugin.PngInfo()
    if packet:
        text.add_itxt("XML:com.adobe.xmp", packet)
    if metadata.comment:
        text.add_itxt("Comment", metadata.comment)
    options = {
        "exif": exif,
        "icc_profile": job.photo.profile,
        "dpi": metadata.resolution,
        "pnginfo": text if packet or metadata.comment else None,
    }
    return _animation(job, "PNG", options)


def _webp(job: _Job) -> bytes:
    options = {
        "quality": job.quality,
        "lossless": job.photo.lossless,
        "exif": _with_comment(job).exif(resolution=True),
        "xmp": job.xmp(with_iptc=True),
        "icc_profile": job.photo.profile,
    }
    if job.photo.lossless:
        options["exact"] = True  # what is invisible is kept, too
        options["quality"] = 75  # of lossless: effort
    return _animation(job, "WEBP", options)


def _avif(job: _Job) -> bytes:
    options = {
        "quality": job.quality,
        "subsampling": "4:4:4" if job.quality >= 90 else "4:2:0",
        "exif": _with_comment(job).exif(resolution=True),
        "xmp": job.xmp(with_iptc=True),
        "icc_profile": job.photo.profile,
    }
    return _animation(job, "AVIF", options)


def _gif(job: _Job) -> bytes:
    if job.metadata.exif or job.metadata.xmp or job.metadata.iptc:
        job.notes.append("without EXIF, XMP and IPTC, which GIF has no room for")
    job.notes.append("256 colours a frame, as GIF has it")
    options: dict = {"comment": job.metadata.comment.encode()}
    if any(page.alpha is not None for page in job.photo.pages):
        options["transparency"] = _GIF_CLEAR
    return _animation(job, "GIF", options)


_GIF_CLEAR = 255  # the colour that stands for transparent


def _gif_picture(image: Image.Image) -> Image.Image:
    """A palette picture; of RGBA, what is less than half seen is transparent."""
    if image.mode != "RGBA":
        return image.convert("RGB").quantize(256)
    palette = image.convert("RGB").quantize(_GIF_CLEAR)
    clear = image.getchannel("A").point(lambda value: 255 if value < 128 else 0)
    palette.paste(_GIF_CLEAR, mask=clear)
    return palette


def _with_comment(job: _Job) -> _Job:
    """With the comment as EXIF's description, for formats without comments."""
    metadata = job.metadata
    if not metadata.comment or 0x010E in metadata.exif.main:
        return job
    exif = replace(metadata.exif, main=metadata.exif.main | {0x010E: ascii_text(metadata.comment)})
    return replace(job, photo=replace(job.photo, metadata=replace(metadata, exif=exif)))


def _animation(job: _Job, format: str, options: dict) -> bytes:
    """All frames, or the one picture."""
    pages = job.photo.pages
    images = [job.image(page) for page in pages]
    if len({image.mode for image in images}) > 1:
        images = [image.convert("RGBA") for image in images]
    clear = images[0].mode == "RGBA"
    if format == "GIF":
        images = [_gif_picture(image) for image in images]
    if len(images) == 1:
        return _saved(images[0], format, options)
    timing = job.photo.timing
    durations = list(timing.durations) if timing else [1000] * len(images)
    options |= {"save_all": True, "append_images": images[1:], "duration": [round(ms) for ms in durations]}
    kept = {key: value for key, value in options.items() if value}
    if format != "AVIF":
        kept["loop"] = timing.loop if timing else 0
    if format == "GIF":
        kept["disposal"] = 2 if clear else 0
    buffer = io.BytesIO()
    images[0].save(buffer, format=format, **kept)
    if (count := getattr(Image.open(buffer), "n_frames", 1)) < len(images):
        job.notes.append(f"{len(images)} frames as {count}: equal ones that follow each other are one, shown as long")
    return buffer.getvalue()


def _tiff(job: _Job) -> bytes:
    metadata, (height, width) = job.metadata, job.photo.size
    exif = metadata.exif
    main = main_table(exif, metadata.resolution)
    if metadata.comment and 0x010E not in main:
        main[0x010E] = ascii_text(metadata.comment)
    photo = photo_table(exif, width, height, not _keeps_space(job.photo)) if exif.photo else {}
    tags = Tags(main, photo, exif.gps, job.xmp(with_iptc=False), metadata.iptc, job.photo.profile)
    pages = []
    for page in job.photo.pages:
        rgb, alpha = page.encoded(page.bits)
        pages.append(rgb if alpha is None else np.dstack([rgb, alpha]))
    return write_tiff(pages, tags, name=job.name)
