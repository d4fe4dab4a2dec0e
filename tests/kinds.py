"""Photos as cameras, scanners, editors and web sites write them, made in memory from one photograph.

Each is modelled on what some image tool tripped over. `kinds()` has those that are to be read, with what is expected;
`refused()` those that are not, with their status.
"""

import functools
import io
import struct
import zlib
from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from tests.corpus import encode, photograph

HEIGHT, WIDTH = 48, 72
RIGHTS = "(c) Müller & Söhne"


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
def base() -> np.ndarray:
    """The picture that most kinds show, uint8 H×W×3."""
    return np.asarray(photograph(0, HEIGHT, WIDTH))


def grey() -> np.ndarray:
    return np.asarray(Image.fromarray(base()).convert("L"))


def three(plane: np.ndarray) -> np.ndarray:
    return np.repeat(plane[..., None], 3, axis=2)


def deep() -> np.ndarray:
    """uint16 with content in the low bytes."""
    rng = np.random.default_rng(5)
    return (base().astype(np.int32) * 257 + rng.integers(-100, 101, base().shape)).clip(0, 65535).astype(np.uint16)


def tiff(samples: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, **options)
    return buffer.getvalue()


def png_chunks(samples: np.ndarray, *chunks: tuple[bytes, bytes], kind: int | None = None) -> bytes:
    """A PNG with chunks of one's own, uint8 or uint16, filter none."""
    height, width = samples.shape[:2]
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels] if kind is None else kind
    rows = samples.astype(samples.dtype.newbyteorder(">")).reshape(height, -1).view(np.uint8).reshape(height, -1)
    raw = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8 * samples.itemsize, kind, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    )


def camera_exif(orientation: int | None = None, *, r03: bool = False, extra: dict[int, bytes] | None = None) -> bytes:
    """An EXIF block like a camera's: make, rights, exposure, date, place, maker's note, thumbnail-less."""
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x8298] = "rights"
    if orientation:
        exif[0x0112] = orientation
    photo = {0x829A: (1, 125), 0x9003: "2024:01:02 03:04:05", 0x927C: b"MakerNote" * 20, 0xA002: 4000, 0xA003: 3000}
    if r03:
        photo |= {0xA001: 65535, 0xA005: {1: "R03"}}
    exif._ifds[0x8769] = photo | (extra or {})
    exif._ifds[0x8825] = {1: "N", 2: (48.0, 8.0, 0.0), 3: "E", 4: (11.0, 34.0, 0.0)}
    return exif.tobytes()


def rights_xmp(padding: int = 0) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
        'xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
        'crs:Exposure2012="+2.00" tiff:Orientation="1">'
        f'<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">{escape(RIGHTS)}</rdf:li></rdf:Alt></dc:rights>'
        f"<dc:description>{'x' * padding}</dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def iptc_block() -> bytes:
    def entry(record: int, number: int, value: bytes) -> bytes:
        return bytes([0x1C, record, number]) + struct.pack(">H", len(value)) + value

    return entry(1, 90, b"\x1b%G") + entry(2, 116, RIGHTS.encode()) + entry(2, 80, "Jörg".encode())


def photoshop_segment(iptc: bytes) -> bytes:
    body = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc + b"\0" * (len(iptc) % 2)
    return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body


def linear_grey_profile() -> bytes:
    """An ICC profile of grey with gamma 1."""
    parts = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"grey\0" + bytes(78),
        b"cprt": b"text\0\0\0\0free\0",
        b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061),
        b"kTRC": b"curv\0\0\0\0" + struct.pack(">I", 0),
    }
    offset, table, body = 132 + 12 * len(parts), b"", b""
    for tag, content in parts.items():
        table += tag + struct.pack(">II", offset + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4xI4s4s4s12x4s", offset + len(body), 0x02100000, b"mntr", b"GRAY", b"XYZ ", b"acsp")
    head = head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", len(parts)) + table + body


def through(profile: bytes, samples: np.ndarray) -> np.ndarray:
    """What Little CMS makes of 8-bit RGB samples of a profile."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return np.asarray(ImageCms.profileToProfile(Image.fromarray(samples), source, srgb, outputMode="RGB"))


def p3_profile() -> bytes:
    from pcakd.photos.icc import gamma_space, matrix_profile

    primaries = np.array([[0.680, 0.320], [0.265, 0.690], [0.150, 0.060]])
    return matrix_profile(gamma_space(primaries, (0.3127, 0.3290), 2.2), 2.2, "P3 with gamma 2.2")


def cut_out(hidden: tuple[int, int, int], *, hard: bool = False) -> bytes:
    """A disc with a soft (or hard) edge; elsewhere alpha 0 over a colour."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    distance = np.hypot(y - HEIGHT / 2, x - WIDTH / 2)
    alpha = ((20 - distance) * (1000 if hard else 60)).clip(0, 255).astype(np.uint8)
    rgb = np.where(alpha[..., None] == 0, np.array(hidden, np.uint8), base())
    return encode(Image.fromarray(np.dstack([rgb, alpha])), "PNG")


def frames() -> list[Image.Image]:
    """Three frames that move."""
    return [Image.fromarray(np.roll(base(), 5 * i, axis=1)) for i in range(3)]


def animation(format: str, **options) -> bytes:
    first, *others = frames()
    return encode(first, format, save_all=True, append_images=others, duration=100, loop=0, **options)


def cmyk() -> Image.Image:
    return Image.fromarray(base()).convert("CMYK")


def mpo() -> bytes:
    return encode(Image.fromarray(base()), "MPO", save_all=True, append_images=[frames()[1]], quality=95)


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


def raw(kind: str) -> bytes:
    """A camera's raw file as far as a preview: its first picture is small, a sub-table has the sensor's data."""
    from pcakd.photos.tags import ascii_text, long, pack_table, short, shorts

    preview = np.asarray(photograph(3, 12, 18)).tobytes()
    sensor = {
        256: long(400),
        257: long(300),
        258: short(14),
        259: short(34713 if kind == "nef" else 1),
        262: shorts(32803),
    }
    sensor |= {254: long(0), 273: long(8), 277: short(1), 278: long(300), 279: long(len(preview))}
    first = {254: long(1), 256: long(18), 257: long(12), 258: shorts(8, 8, 8), 259: short(1), 262: short(2)}
    first |= {271: ascii_text("NIKON CORPORATION"), 273: long(8), 277: short(3), 278: long(12), 279: long(len(preview))}
    if kind == "dng":
        first[50706] = (1, 4, bytes([1, 4, 0, 0]))
    at = 8 + len(preview)
    table = pack_table(sensor, at)
    first[330] = long(at)
    start = at + len(table)
    return b"II*\0" + struct.pack("<I", start) + preview + table + pack_table(first, start)


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
        ("hdr.png", png_chunks(base(), (b"cICP", bytes([9, 16, 0, 1]))), "unsupported", "high-dynamic-range"),
        ("clip.jpg", struct.pack(">I", 24) + b"ftypisom\0\0\0\0isommp42" + bytes(60), "not-an-image", "a video"),
        ("cut.jpg", plain[: len(plain) * 2 // 5], "truncated", "truncated"),
        ("cut-short.jpg", plain[:-40], "truncated", "truncated"),
    ]
