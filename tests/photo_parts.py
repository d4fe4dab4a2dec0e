"""What photos as people have them are made of: samples, files with tags of one's own, metadata, profiles, frames."""

import functools
import io
import struct
import zlib
from xml.sax.saxutils import escape

import numpy as np
import tifffile
from PIL import Image, ImageCms

from tests.corpus import encode, photograph

HEIGHT, WIDTH = 48, 72
RIGHTS = "(c) Müller & Söhne"


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


def grey_png(samples: np.ndarray, bits: int, transparent: int) -> bytes:
    """A PNG of 1, 2 or 4 bits a grey sample, one value of which is transparent; the width is a multiple of 8."""
    height, width = samples.shape
    each = samples.reshape(height, -1, 8 // bits).astype(np.uint8)
    packed = sum(each[..., i] << (8 - bits * (i + 1)) for i in range(8 // bits))
    data = png_chunks(packed.astype(np.uint8), (b"tRNS", struct.pack(">H", transparent)))
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    sum_of = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return data[:16] + header + sum_of + data[33:]


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


def grey12() -> bytes:
    """TIFF with 12 bits a sample, packed."""
    from pcakd.photos.tags import long, pack_table, short

    pairs = (grey().astype(np.uint32) * 4095 // 255).reshape(HEIGHT, -1, 2)
    packed = pairs[..., 0] << 12 | pairs[..., 1]
    body = np.stack([packed >> 16, packed >> 8, packed], -1).astype(np.uint8).tobytes()
    table = {256: long(WIDTH), 257: long(HEIGHT), 258: short(12), 259: short(1), 262: short(1), 273: long(8)}
    table |= {277: short(1), 278: long(HEIGHT), 279: long(len(body))}
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + pack_table(table, 8 + len(body))


def deep_jp2() -> bytes:
    """JPEG 2000 that says of each of its three channels that it has 16 bits."""
    data = bytearray(encode(Image.fromarray(base()), "JPEG2000"))
    at = data.index(b"\xff\x4f\xff\x51") + 42
    data[at : at + 9 : 3] = b"\x0f" * 3
    return bytes(data)


def compressed_planes() -> bytes:
    """16 bits in planes, said to be compressed by SGILOG."""
    data = tiff(np.moveaxis(deep(), -1, 0), photometric="rgb", planarconfig="separate")
    entry = struct.pack("<HHIH", 259, 3, 1, 1)
    assert entry in data
    return data.replace(entry, entry[:-2] + struct.pack("<H", 34676))


def expanded_by_libtiff(planes: np.ndarray, compression: str, predictor: int = 1) -> bytes:
    """Samples, P×H×W×C, as a TIFF of one strip a plane, compressed in a way that Pillow writes for grey of 8 bits."""
    from pcakd.photos.tags import long, pack_table, short, shorts

    count, height, width, channels = planes.shape
    kind, strips = planes.dtype, []
    for plane in planes.view(f"u{kind.itemsize}") if predictor == 2 else planes:
        steps = np.diff(plane, axis=1, prepend=np.zeros_like(plane[:, :1])) if predictor == 2 else plane
        rows = np.ascontiguousarray(steps).view(np.uint8).reshape(height, -1)
        image = Image.open(
            io.BytesIO(encode(Image.fromarray(rows), "TIFF", compression=compression, strip_size=1 << 30))
        )
        [at], [size] = image.tag_v2[273], image.tag_v2[279]
        strips.append(image.fp.getbuffer()[at : at + size].tobytes())
        code = image.tag_v2[259]
    samples = channels * count
    table = {256: long(width), 257: long(height), 258: shorts(*[8 * kind.itemsize] * samples), 259: short(code)}
    offsets = 8 + np.cumsum([0, *map(len, strips[:-1])])
    table |= {262: short(2), 273: long(*offsets), 277: short(samples), 278: long(height)}
    table |= {279: long(*map(len, strips)), 284: short(2 if count > 1 else 1), 317: short(predictor)}
    table |= {339: shorts(*[3 if kind.kind == "f" else 1] * samples)}
    body = b"".join(strips)
    body += b"\0" * (len(body) % 2)
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + pack_table(table, 8 + len(body))
