"""XMP and IPTC as they are carried: captions, keywords, authors and rights; not how an editor made the picture.

An XMP packet is read as XML and written anew without the properties that speak of the source's file: camera-raw
settings (applied again they would change the result), editing history, thumbnails, gain maps, motion-photo
offsets, orientation, sizes. IPTC goes into formats that have no place for it as the XMP properties of the same
meaning.
"""

from collections.abc import Iterable
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_META = "adobe:ns:meta/"
_DC = "http://purl.org/dc/elements/1.1/"
_PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
_TIFF, _EXIF = "http://ns.adobe.com/tiff/1.0/", "http://ns.adobe.com/exif/1.0/"
_XMP_NOTE = "http://ns.adobe.com/xmp/note/"
_XML = "http://www.w3.org/XML/1998/namespace"

_DROPPED = {
    "http://ns.adobe.com/camera-raw-settings/1.0/",
    "http://ns.adobe.com/camera-raw-saved-settings/1.0/",
    "http://ns.adobe.com/xap/1.0/mm/",
    "http://ns.adobe.com/xap/1.0/g/img/",
    "http://ns.adobe.com/hdr-gain-map/1.0/",
    "http://ns.apple.com/HDRGainMap/1.0/",
    "http://ns.google.com/photos/1.0/camera/",
    "http://ns.google.com/photos/1.0/container/",
    "http://ns.google.com/photos/1.0/container/item/",
    "http://ns.google.com/photos/1.0/image/",
    "http://ns.google.com/photos/1.0/depthmap/",
    "http://ns.google.com/photos/1.0/audio/",
    "http://www.metadataworkinggroup.com/schemas/regions/",  # areas in the source's coordinates
    "http://ns.microsoft.com/photo/1.2/",
    _XMP_NOTE,
}
_DROPPED_NAMES = {
    f"{{{_PHOTOSHOP}}}{name}" for name in ("DocumentAncestors", "ICCProfile", "ColorMode", "History", "TextLayers")
}
_DROPPED_NAMES |= {"{http://ns.adobe.com/xap/1.0/}Thumbnails"}
_TIFF_KEPT = {"Make", "Model", "Software", "Artist", "Copyright", "ImageDescription", "DateTime"}
_EXIF_DROPPED = {"PixelXDimension", "PixelYDimension", "ColorSpace", "MakerNote", "NativeDigest", "SubjectArea"}
_EXIF_DROPPED |= {"SubjectLocation", "CompressedBitsPerPixel", "ComponentsConfiguration", "RelatedSoundFile"}

MOST_BYTES = 1 << 20
"""A longer packet is an editor's, not a caption."""

_PREFIXES = {
    RDF: "rdf",
    _META: "x",
    _DC: "dc",
    _PHOTOSHOP: "photoshop",
    "http://ns.adobe.com/xap/1.0/rights/": "xmpRights",
    _XML: "xml",
}


def clean_xmp(packet: bytes, iptc: bytes = b"", extension: bytes = b"") -> bytes:
    """The packet without what speaks of the source's file; b"" where nothing is left, or it is no XMP.

    iptc: an IPTC block whose captions and rights are added where the packet has none. extension: a second packet, in
    which JPEG has what does not fit one segment.
    """
    extra = list(_iptc_properties(iptc))
    prefixes = dict(_PREFIXES)
    descriptions: list[ElementTree.Element] = []
    for part in (_without_rest(packet), _without_rest(extension)):
        root = _parse(part)
        if root is None:
            continue
        for uri, prefix in _declared(part):
            if uri not in prefixes and prefix and prefix not in prefixes.values() and _is_name(prefix):
                prefixes[uri] = prefix
        rdf = root if root.tag == f"{{{RDF}}}RDF" else root.find(f".//{{{RDF}}}RDF")
        descriptions += [] if rdf is None else [d for d in rdf if d.tag == f"{{{RDF}}}Description"]
    for description in descriptions:
        _clean(description)
    present = {child.tag for d in descriptions for child in d} | {name for d in descriptions for name in d.attrib}
    extra = [element for element in extra if element.tag not in present]
    if extra and not descriptions:
        descriptions = [ElementTree.Element(f"{{{RDF}}}Description", {f"{{{RDF}}}about": ""})]
    if descriptions:
        descriptions[-1].extend(extra)
    descriptions = [d for d in descriptions if len(d) or any(not n.startswith(f"{{{RDF}}}") for n in d.attrib)]
    if not descriptions:
        return b""
    return _serialise(descriptions, prefixes)


def fit_xmp(packet: bytes, room: int) -> bytes:
    """A cleaned packet without its longest properties, until it fits `room` bytes: captions and rights are short."""
    while len(packet) > room:
        root = _parse(packet)
        rdf = None if root is None else root.find(f".//{{{RDF}}}RDF")
        parts = [] if rdf is None else [(len(ElementTree.tostring(c)), d, c) for d in rdf for c in d]
        if not parts:
            return b""
        _, description, longest = max(parts, key=lambda part: part[0])
        description.remove(longest)
        assert rdf is not None
        prefixes = _PREFIXES | {uri: prefix for uri, prefix in _declared(packet) if prefix}
        packet = _serialise(list(rdf), prefixes)
    return packet


def _without_rest(packet: bytes) -> bytes:
    """Up to the end of what is XMP: writers that reuse a longer packet's place leave its rest behind it."""
    end = packet.rfind(_META_ENDS)
    return packet if end < 0 else packet[: end + len(_META_ENDS)]


_META_ENDS = b"</x:xmpmeta>"


def _parse(packet: bytes) -> ElementTree.Element | None:
    # A document type is what entity bombs are made of; XMP has none.
    if not packet or len(packet) > MOST_BYTES or b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
        return None
    try:
        root = ElementTree.fromstring(packet.strip(b"\0 \t\r\n"))
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError):
        return None
    return root if _depth(root) < 40 else None


def _depth(element: ElementTree.Element) -> int:
    level, deepest = [element], 0
    while level and deepest < 50:
        level, deepest = [child for parent in level for child in parent], deepest + 1
    return deepest


def _declared(packet: bytes) -> Iterable[tuple[str, str]]:
    """(URI, prefix) as the packet declares them."""
    parser: ElementTree.XMLPullParser = ElementTree.XMLPullParser(["start-ns"])
    parser.feed(packet.strip(b"\0 \t\r\n"))
    return [(uri, prefix or "") for _, (prefix, uri) in parser.read_events()]  # type: ignore[misc]


def _is_name(prefix: str) -> bool:
    return prefix.replace("-", "").replace("_", "").replace(".", "").isalnum() and not prefix[0].isdigit()


def _clean(description: ElementTree.Element) -> None:
    for name in [name for name in description.attrib if _is_dropped(name)]:
        del description.attrib[name]
    for child in [child for child in description if _is_dropped(child.tag)]:
        description.remove(child)


def _is_dropped(name: str) -> bool:
    if not name.startswith("{"):
        return name not in ("about", "ID")
    uri, local = name[1:].split("}", 1)
    if uri == _TIFF:
        return local not in _TIFF_KEPT
    return uri in _DROPPED or name in _DROPPED_NAMES or (uri == _EXIF and local in _EXIF_DROPPED)


def _serialise(descriptions: list[ElementTree.Element], prefixes: dict[str, str]) -> bytes:
    used: dict[str, str] = {RDF: "rdf", _META: "x"}

    def name(tag: str) -> str:
        if not tag.startswith("{"):
            return tag
        uri, local = tag[1:].split("}", 1)
        if uri not in used and uri != _XML:
            used[uri] = prefixes.get(uri) or f"ns{len(used)}"
        return f"{used.get(uri, 'xml')}:{local}"

    def write(element: ElementTree.Element) -> str:
        attributes = "".join(f" {name(key)}={quoteattr(value)}" for key, value in element.attrib.items())
        inner = escape((element.text or "").strip() if len(element) else element.text or "")
        inner += "".join(write(child) for child in element)
        tag = name(element.tag)
        return f"<{tag}{attributes}>{inner}</{tag}>" if inner else f"<{tag}{attributes}/>"

    body = "".join(write(description) for description in descriptions)
    spaces = "".join(f' xmlns:{prefix}="{escape(uri)}"' for uri, prefix in used.items())
    begin = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    packet = f'{begin}<x:xmpmeta{spaces}><rdf:RDF>{body}</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    return packet.encode("utf-8", "replace")


# IPTC: record 2, data set → the XMP property of the same meaning, and its container.
_PROPERTIES = {
    5: (f"{{{_DC}}}title", "Alt"),
    25: (f"{{{_DC}}}subject", "Bag"),
    80: (f"{{{_DC}}}creator", "Seq"),
    116: (f"{{{_DC}}}rights", "Alt"),
    120: (f"{{{_DC}}}description", "Alt"),
    40: (f"{{{_PHOTOSHOP}}}Instructions", ""),
    90: (f"{{{_PHOTOSHOP}}}City", ""),
    95: (f"{{{_PHOTOSHOP}}}State", ""),
    101: (f"{{{_PHOTOSHOP}}}Country", ""),
    105: (f"{{{_PHOTOSHOP}}}Headline", ""),
    110: (f"{{{_PHOTOSHOP}}}Credit", ""),
    115: (f"{{{_PHOTOSHOP}}}Source", ""),
}


def read_iptc(block: bytes) -> dict[int, list[str]]:
    """Data sets of record 2 → their texts; what follows damage is left out."""
    found: dict[int, list[str]] = {}
    at, utf8 = 0, False
    while at + 5 <= len(block) and block[at] == 0x1C:
        record, number, size = block[at + 1], block[at + 2], int.from_bytes(block[at + 3 : at + 5])
        value = block[at + 5 : at + 5 + size]
        at += 5 + size
        if size & 0x8000 or len(value) < size:
            break
        if (record, number) == (1, 90):
            utf8 = value == b"\x1b%G"
        elif record == 2:
            found.setdefault(number, []).append(_decoded(value, utf8))
    return found


def _decoded(value: bytes, utf8: bool) -> str:
    try:
        text = value.decode("utf-8")  # many writers forget to say so
    except UnicodeDecodeError:
        text = value.decode("utf-8" if utf8 else "latin-1", "replace")
    return "".join(c for c in text if c.isprintable() or c in "\n\t").strip()


def _iptc_properties(block: bytes) -> Iterable[ElementTree.Element]:
    for number, texts in read_iptc(block).items():
        texts = [text for text in texts if text]
        if number not in _PROPERTIES or not texts:
            continue
        tag, container = _PROPERTIES[number]
        element = ElementTree.Element(tag)
        if not container:
            element.text = texts[0]
        else:
            parent = ElementTree.SubElement(element, f"{{{RDF}}}{container}")
            for text in texts if container != "Alt" else texts[:1]:
                language = {f"{{{_XML}}}lang": "x-default"} if container == "Alt" else {}
                ElementTree.SubElement(parent, f"{{{RDF}}}li", language).text = text
        yield element
