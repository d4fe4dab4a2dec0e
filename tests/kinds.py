"""Photos as cameras, scanners, editors and web sites write them, made in memory from one photograph.

Each is modelled on what some image tool tripped over. `kinds()` has those that are to be read, with what is expected;
`refused()` those that are not, with their status. What they are made of is in `tests.photo_parts`.
"""

import functools
import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from tests.corpus import encode
from tests.photo_parts import (
    HEIGHT,
    RIGHTS,
    WIDTH,
    animation,
    base,
    camera_exif,
    cmyk,
    compressed_planes,
    cut_out,
    deep,
    deep_jp2,
    frames,
    grey,
    grey12,
    iptc_block,
    linear_grey_profile,
    mpo,
    p3_profile,
    photoshop_segment,
    png_chunks,
    raw,
    rights_xmp,
    three,
    through,
    tiff,
)

__all__ = [
    "HEIGHT",
    "RIGHTS",
    "WIDTH",
    "Kind",
    "animation",
    "base",
    "camera_exif",
    "cut_out",
    "deep",
    "frames",
    "grey",
    "iptc_block",
    "kinds",
    "linear_grey_profile",
    "mpo",
    "p3_profile",
    "photoshop_segment",
    "png_chunks",
    "refused",
    "rights_xmp",
    "three",
    "through",
    "tiff",
]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """An encoded photo that is to be read.

    colours: sRGB uint8 H×W×3 that it shows; tolerance: mean levels that lossy encoding may be off.
    alpha, bits, frames: what it has; exif, rights: whether it says who made it, in EXIF, in XMP or IPTC.
    """

    name: str
    data: bytes
    colours: np.ndarray
    tolerance: float = 0.0
    alpha: bool = False
    bits: int = 8
    frames: int = 1
    exif: bool = False
    rights: bool = False
    dpi: float | None = None


@functools.cache
def kinds() -> list[Kind]:
    """Photos that are read."""
    rgb, picture, plane = base(), Image.fromarray(base()), grey()
    p3, alpha = p3_profile(), np.asarray(Image.linear_gradient("L").resize((WIDTH, HEIGHT)))
    rgba = np.dstack([rgb, alpha])
    comment = PngImagePlugin.PngInfo()
    comment.add_itxt("XML:com.adobe.xmp", rights_xmp().decode())
    jpeg = functools.partial(encode, picture, "JPEG", quality=95, subsampling=0)
    seen = np.asarray(Image.open(io.BytesIO(jpeg())))
    linear = three(
        np.round(
            np.where(plane / 255 <= 0.0031308, plane / 255 * 12.92, 1.055 * (plane / 255) ** (1 / 2.4) - 0.055) * 255
        )
    )
    gif = animation("GIF")
    gif_first = np.asarray(Image.open(io.BytesIO(gif)).convert("RGB"))
    palette = picture.quantize(64)
    upright = picture.transpose(Image.Transpose.ROTATE_90)  # what orientation 6 turns back
    inks = np.asarray(cmyk()).astype(np.uint16) * 257
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(picture, to_lab)
    seen_by = np.maximum(alpha, 40).astype(np.uint16) * 257
    premultiplied = np.dstack([(deep() * (seen_by[..., None] / 65535)).round().astype(np.uint16), seen_by])
    adobe = tiff(rgb, photometric="rgb", iccprofile=p3)
    found = [
        Kind(name="plain.jpg", data=jpeg(), colours=seen),
        Kind(
            name="grey.jpg", data=encode(Image.fromarray(plane), "JPEG", quality=95), colours=three(plane), tolerance=2
        ),
        Kind(name="p3.jpg", data=jpeg(icc_profile=p3), colours=through(p3, seen), tolerance=1),
        Kind(name="adobe.tif", data=adobe, colours=through(p3, rgb), tolerance=1),
        Kind(name="camera.jpg", data=jpeg(exif=camera_exif()), colours=seen, exif=True),
        Kind(
            name="turned.jpg",
            data=encode(upright, "JPEG", quality=95, subsampling=0, exif=camera_exif(6)),
            colours=rgb,
            tolerance=3,
            exif=True,
        ),
        Kind(
            name="xmp-iptc-dpi.jpg",
            data=jpeg(xmp=rights_xmp(), extra=photoshop_segment(iptc_block()), dpi=(300, 300), comment="a comment"),
            colours=seen,
            rights=True,
            dpi=300,
        ),
        Kind(name="iptc.jpg", data=jpeg(extra=photoshop_segment(iptc_block())), colours=seen, rights=True),
        Kind(name="cmyk-adobe.jpg", data=encode(cmyk(), "JPEG", quality=95), colours=rgb, tolerance=3),
        Kind(name="mpo.jpg", data=mpo(), colours=rgb, tolerance=4),
        Kind(name="motion.jpg", data=jpeg() + struct.pack(">I", 24) + b"ftypmp42" + bytes(4000), colours=seen),
        Kind(name="no-end.jpg", data=jpeg()[:-2], colours=seen),
        Kind(name="rgba.png", data=encode(Image.fromarray(rgba), "PNG"), colours=rgb, alpha=True),
        Kind(name="palette.png", data=encode(palette, "PNG"), colours=np.asarray(palette.convert("RGB"))),
        Kind(
            name="camera.png",
            data=encode(picture, "PNG", exif=camera_exif(), dpi=(300, 300), pnginfo=comment),
            colours=rgb,
            exif=True,
            rights=True,
            dpi=300,
        ),
        Kind(
            name="grey-alpha.png",
            data=encode(Image.fromarray(np.dstack([plane, alpha])), "PNG"),
            colours=three(plane),
            alpha=True,
        ),
        Kind(name="rgb16.png", data=png_chunks(deep()), colours=rgb, bits=16, tolerance=0.5),
        Kind(
            name="rgba16.png",
            data=png_chunks(np.dstack([deep(), alpha.astype(np.uint16) * 257])),
            colours=rgb,
            bits=16,
            alpha=True,
            tolerance=0.5,
        ),
        Kind(
            name="grey-alpha16.png",
            data=png_chunks(np.dstack([plane, alpha]).astype(np.uint16) * 257),
            colours=three(plane),
            bits=16,
            alpha=True,
        ),
        Kind(name="grey16.png", data=png_chunks(plane.astype(np.uint16) * 257), colours=three(plane), bits=16),
        Kind(
            name="grey16-transparent.png",
            data=png_chunks(plane.astype(np.uint16) * 257, (b"tRNS", struct.pack(">H", int(plane[0, 0]) * 257))),
            colours=three(plane),
            bits=16,
            alpha=True,
        ),
        Kind(
            name="grey-linear.png",
            data=encode(Image.fromarray(plane), "PNG", icc_profile=linear_grey_profile()),
            colours=linear,
            tolerance=0.5,
        ),
        Kind(
            name="grey16-linear.png",
            data=png_chunks(plane.astype(np.uint16) * 257, (b"iCCP", b"p\0\0" + zlib.compress(linear_grey_profile()))),
            colours=linear,
            bits=16,
            tolerance=0.5,
        ),
        Kind(
            name="gama.png",
            data=png_chunks(three(plane), (b"gAMA", struct.pack(">I", 100_000))),
            colours=linear,
            tolerance=0.6,
        ),
        Kind(name="plain.webp", data=encode(picture, "WEBP", quality=95), colours=rgb, tolerance=4),
        Kind(name="lossless.webp", data=encode(picture, "WEBP", lossless=True), colours=rgb),
        Kind(
            name="camera.webp",
            data=encode(picture, "WEBP", lossless=True, exif=camera_exif(), xmp=rights_xmp()),
            colours=rgb,
            exif=True,
            rights=True,
        ),
        Kind(
            name="plain.avif", data=encode(picture, "AVIF", quality=95, subsampling="4:4:4"), colours=rgb, tolerance=3
        ),
        Kind(name="plain.jp2", data=encode(picture, "JPEG2000"), colours=rgb),
        Kind(name="plain.bmp", data=encode(picture, "BMP"), colours=rgb),
        Kind(name="rgb8.tif", data=tiff(rgb, photometric="rgb"), colours=rgb),
        Kind(name="grey8.tif", data=tiff(plane, photometric="minisblack"), colours=three(plane)),
        Kind(name="white-is-zero.tif", data=tiff(255 - plane, photometric="miniswhite"), colours=three(plane)),
        Kind(
            name="white-is-zero16.tif",
            data=tiff(65535 - plane.astype(np.uint16) * 257, photometric="miniswhite"),
            colours=three(plane),
            bits=16,
        ),
        Kind(
            name="one-bit.tif",
            data=encode(picture.convert("1"), "TIFF", compression="group4"),
            colours=three(np.asarray(picture.convert("1").convert("L"))),
        ),
        Kind(name="palette.tif", data=encode(palette, "TIFF"), colours=np.asarray(palette.convert("RGB"))),
        Kind(name="cmyk.tif", data=encode(cmyk(), "TIFF"), colours=rgb, tolerance=1),
        Kind(name="cmyk16.tif", data=tiff(inks, photometric="separated"), colours=rgb, bits=16, tolerance=0.5),
        Kind(
            name="cmyk16-planes.tif",
            data=tiff(np.moveaxis(inks, -1, 0), photometric="separated", planarconfig="separate"),
            colours=rgb,
            bits=16,
            tolerance=0.5,
        ),
        Kind(
            name="cmyk-alpha.tif",
            data=tiff(np.dstack([np.asarray(cmyk()), alpha]), photometric="separated", extrasamples=["unassalpha"]),
            colours=rgb,
            alpha=True,
            tolerance=1,
        ),
        Kind(name="lab.tif", data=encode(lab, "TIFF"), colours=rgb, tolerance=2),
        Kind(
            name="premultiplied16.tif",
            data=tiff(premultiplied, photometric="rgb", extrasamples=["assocalpha"]),
            colours=rgb,
            bits=16,
            alpha=True,
            tolerance=1,
        ),
        Kind(name="grey12.tif", data=grey12(), colours=three(plane), bits=16, tolerance=0.6),
        Kind(
            name="rgb16.ppm",
            data=b"P6 %d %d 65535\n" % (WIDTH, HEIGHT) + deep().astype(">u2").tobytes(),
            colours=rgb,
            bits=16,
            tolerance=0.5,
        ),
        Kind(
            name="rgba.tif", data=tiff(rgba, photometric="rgb", extrasamples=("unassalpha",)), colours=rgb, alpha=True
        ),
        Kind(
            name="planar.tif",
            data=tiff(np.moveaxis(rgb, -1, 0), photometric="rgb", planarconfig="separate"),
            colours=rgb,
        ),
        Kind(
            name="planar16.tif",
            data=tiff(np.moveaxis(deep(), -1, 0), photometric="rgb", planarconfig="separate"),
            colours=rgb,
            bits=16,
            tolerance=0.5,
        ),
        Kind(
            name="grey-alpha-planes.tif",
            data=tiff(np.stack([plane, alpha]), photometric="minisblack", planarconfig=2, extrasamples=["unassalpha"]),
            colours=three(plane),
            alpha=True,
        ),
        Kind(name="big-endian.tif", data=tiff(rgb, photometric="rgb", byteorder=">"), colours=rgb),
        Kind(name="bigtiff.tif", data=tiff(rgb, photometric="rgb", bigtiff=True), colours=rgb),
        Kind(name="strips.tif", data=tiff(rgb, photometric="rgb", rowsperstrip=7), colours=rgb),
        Kind(
            name="deflate16.tif",
            data=tiff(deep(), photometric="rgb", compression="zlib", predictor=True),
            colours=rgb,
            bits=16,
            tolerance=0.5,
        ),
        Kind(
            name="jpeg-in.tif", data=encode(picture, "TIFF", compression="jpeg", quality=95), colours=rgb, tolerance=4
        ),
        Kind(
            name="ycbcr.tif",
            data=tiff(np.asarray(picture.convert("YCbCr")), photometric="ycbcr"),
            colours=rgb,
            tolerance=2,
        ),
        Kind(
            name="float.tif",
            data=tiff((plane / 255).astype(np.float32), photometric="minisblack"),
            colours=three(plane),
            bits=16,
        ),
        Kind(
            name="float-hdr.tif",
            data=tiff(np.where(plane == plane.max(), 1.5, plane / 255).astype(np.float32), photometric="minisblack"),
            colours=three(np.where(plane == plane.max(), 255, plane)),
            bits=16,
        ),
        Kind(name="float-rgb.tif", data=tiff((rgb / 255).astype(np.float32), photometric="rgb"), colours=rgb, bits=16),
        Kind(name="camera.tif", data=encode(picture, "TIFF", exif=camera_exif()), colours=rgb, exif=True),
        Kind(
            name="layers.tif",
            data=tiff(
                rgb,
                photometric="rgb",
                extratags=[(37724, 7, 150_000, b"L" * 150_000, True), (700, 1, len(rights_xmp()), rights_xmp(), True)],
            ),
            colours=rgb,
            rights=True,
        ),
        Kind(name="dpi.tif", data=encode(picture, "TIFF", dpi=(300, 300)), colours=rgb, dpi=300),
        Kind(name="moving.gif", data=gif, colours=gif_first, frames=3),
        Kind(name="moving.webp", data=animation("WEBP", lossless=True), colours=rgb, frames=3),
        Kind(name="moving.png", data=animation("PNG"), colours=rgb, frames=3),
        Kind(name="pages.tif", data=animation("TIFF"), colours=rgb, frames=3),
    ]
    for orientation, turn in enumerate(
        (
            None,
            "FLIP_LEFT_RIGHT",
            "ROTATE_180",
            "FLIP_TOP_BOTTOM",
            "TRANSPOSE",
            "ROTATE_90",
            "TRANSVERSE",
            "ROTATE_270",
        ),
        1,
    ):
        stored = picture if turn is None else picture.transpose(Image.Transpose[turn])
        found.append(
            Kind(
                name=f"orientation{orientation}.png",
                data=encode(stored, "PNG", exif=camera_exif(orientation)),
                colours=rgb,
                exif=True,
            )
        )
        found.append(
            Kind(
                name=f"orientation{orientation}.tif",
                data=encode(stored, "TIFF", tiffinfo={274: orientation}),
                colours=rgb,
            )
        )
    return found


def refused() -> list[tuple[str, bytes, str, str]]:
    """(name, content, status, a word of the message) of files that are not read."""
    plain = encode(Image.fromarray(base()), "JPEG", quality=95)
    heic = struct.pack(">I", 24) + b"ftypheic\0\0\0\0heicmif1" + bytes(200)
    return [
        ("photo.jxl", b"\xff\x0a" + bytes(50), "unsupported", "JPEG XL"),
        ("photo.heic", heic, "unsupported", "HEIC"),
        ("heic-named.jpg", heic, "unsupported", "HEIC"),
        ("photo.psd", b"8BPS\0\x01" + bytes(50), "unsupported", "Photoshop"),
        ("photo.cr3", struct.pack(">I", 24) + b"ftypcrx \0\0\0\0crx isom" + bytes(60), "unsupported", "Canon CR3"),
        ("photo.raf", b"FUJIFILMCCD-RAW 0201" + bytes(80), "unsupported", "Fujifilm raw"),
        ("photo.dng", raw("dng"), "unsupported", "DNG raw"),
        ("photo.nef", raw("nef"), "unsupported", "Nikon raw"),
        ("photo.exr", b"\x76\x2f\x31\x01" + bytes(60), "unsupported", "OpenEXR"),
        ("photo.tga", encode(Image.fromarray(base()), "TGA"), "unsupported", "TGA"),
        ("twelve.jpg", plain.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"), "unsupported", "of 12 bits"),
        ("apple.png", b"\x89PNG\r\n\x1a\n\0\0\0\x04CgBI" + bytes(60), "unsupported", "CgBI"),
        ("deep.jp2", deep_jp2(), "unsupported", "16 bits a channel in colour"),
        ("planes.tif", compressed_planes(), "unsupported", "in planes"),
        ("signed.tif", tiff((base() // 2).astype(np.int8), photometric="rgb"), "unsupported", "signed"),
        ("signed16.tif", tiff(grey().astype(np.int16), photometric="minisblack"), "unsupported", "16 signed bits"),
        ("signed32.tif", tiff(grey().astype(np.int32), photometric="minisblack"), "unsupported", "32 signed bits"),
        ("cut.tif", encode(Image.fromarray(base()), "TIFF", compression="tiff_lzw")[:-300], "truncated", "TIFF"),
        ("hdr.png", png_chunks(base(), (b"cICP", bytes([9, 16, 0, 1]))), "unsupported", "high-dynamic-range"),
        ("clip.jpg", struct.pack(">I", 24) + b"ftypisom\0\0\0\0isommp42" + bytes(60), "not-an-image", "a video"),
        ("cut.jpg", plain[: len(plain) * 2 // 5], "truncated", "truncated"),
        ("cut-short.jpg", plain[:-40], "truncated", "truncated"),
    ]
