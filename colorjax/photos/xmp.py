"""XMP as bytes: sets the orientation to upright, and marks colors as predicted."""

from __future__ import annotations

import bisect
import contextlib
import mmap
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from colorjax.photos.exif import SIDEWAYS

NAMESPACE = "https://colorjax.dev/ns/1.0/"
# IPTC's term for a photo with content added by a trained model.
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_PACKET = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
    b'</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>'
)
_DECLARATION = b"xmlns:colorjax="
_FIELDS = {
    "by": "ColorsPredictedBy",
    "tool": "Tool",
    "weights": "Weights",
    "settings": "Settings",
    "input": "Input",
}
_LATER = ("weights", "settings", "input")  # which marks of earlier versions lack
# All patterns need time in proportion to the bytes: no two runs of any length are next to each
# other, and no run starts inside another one.
_RDF = re.compile(rb"<rdf:RDF\b[^<>]*>")
_DESCRIPTION = re.compile(rb"<rdf:Description\b[^<>]*>")
_ABOUT = re.compile(rb"\srdf:about=\"([^\"<>]*)\"")
_DECLARED = re.compile(rb"\sxmlns:([\w.-]+)\s*=\s*(?:\"([^\"<]*)\"|'([^'<]*)')")
_ATTRIBUTE = re.compile(rb"\s([\w.-]+):([\w.-]+)\s*=\s*(?:\"[^\"<]*\"|'[^'<]*')")
_START = re.compile(rb"<([\w.-]+):([\w.-]+)(?:\s[^<>]*)?>")
_END = re.compile(rb"</([\w.-]+:[\w.-]+)\s*>")
_PREFIX = re.compile(rb"[\s</]([\w.-]+):")
_TYPE = re.compile(rb"(Iptc4xmpExt:DigitalSourceType(?:\s*=\s*[\"']|>|\s+rdf:resource=\"))[^<\"']*")
_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>)\s*)([1-8])")
_SIZES = (
    (b"tiff:ImageWidth", b"tiff:ImageLength"),
    (b"exif:PixelXDimension", b"exif:PixelYDimension"),
)


def orientation(packet: bytes) -> int:
    """Returns tiff:Orientation, 1 to 8; 1 if the packet has none."""
    match = _ORIENTATION.search(packet)
    return int(match[2]) if match else 1


def is_well_formed(packet: bytes) -> bool:
    """Returns whether XML readers accept the packet; wrong characters inside texts are ignored."""
    for content in (packet, packet.decode("utf-8", "replace").encode()):
        with contextlib.suppress(expat.ExpatError):
            expat.ParserCreate().Parse(content.strip(b"\0\r\n\t "), True)
            return True
    return False


def upright(packet: bytes, turned: int) -> bytes:
    """Returns the packet for pixels rotated upright; `turned` as in `exif.upright`."""
    packet = _ORIENTATION.sub(rb"\g<1>1", packet)
    if turned in SIDEWAYS:
        for width, height in _SIZES:
            packet = _swap(packet, width, height)
    return packet


def without(packet: bytes, properties: Mapping[bytes, bytes]) -> bytes:
    """Returns the packet without some properties, in any prefix; the rest is unchanged.

    Args:
        packet: XMP, or empty.
        properties: namespace -> regular expression of the names of its properties.
    """
    wanted = {space: re.compile(names) for space, names in properties.items()}
    names: dict[bytes, list[re.Pattern[bytes]]] = {}
    for prefix, *space in _DECLARED.findall(packet):
        pattern = wanted.get(b"".join(space))
        if pattern and pattern not in names.setdefault(prefix, []):
            names[prefix].append(pattern)

    if not any(names.values()):
        return packet
    touched = set[bytes]()

    def is_cut(match: re.Match[bytes]) -> bool:
        is_match = any(pattern.fullmatch(match[2]) for pattern in names.get(match[1], ()))
        if is_match:
            touched.add(match[1])
        return is_match

    packet = _without(packet, _ATTRIBUTE, is_cut)
    packet = _without_elements(packet, is_cut)
    unused = touched - set(_PREFIX.findall(packet))
    return _without(
        packet, _DECLARED, lambda match: match[1] in unused and (match[2] or match[3]) in wanted
    )


def _without(
    packet: bytes, pattern: re.Pattern[bytes], is_cut: Callable[[re.Match[bytes]], bool]
) -> bytes:
    """Returns the packet without some of the matches of a pattern."""
    kept, done = [], 0
    for match in pattern.finditer(packet):
        if is_cut(match):
            kept.append(packet[done : match.start()])
            done = match.end()
    return b"".join((*kept, packet[done:]))


def _without_elements(packet: bytes, is_cut: Callable[[re.Match[bytes]], bool]) -> bytes:
    """Returns the packet without elements, each up to the next end tag of its name."""
    ends: dict[bytes, list[tuple[int, int]]] = {}
    for end in _END.finditer(packet):
        ends.setdefault(end[1], []).append(end.span())
    kept, done = [], 0
    for start in _START.finditer(packet):
        if start.start() < done or not is_cut(start):
            continue
        until = start.end()
        if not start[0].endswith(b"/>"):
            closing = ends.get(start[1] + b":" + start[2], [])
            index = bisect.bisect_left(closing, (until, 0))
            if index == len(closing):
                continue
            until = closing[index][1]
        kept.append(packet[done : start.start()])
        done = until
    return b"".join((*kept, packet[done:]))


def _swap(packet: bytes, width: bytes, height: bytes) -> bytes:
    matches = [re.search(name + rb"(?:\s*=\s*[\"']|>)\s*(\d+)", packet) for name in (width, height)]
    if matches[0] is None or matches[1] is None:
        return packet
    (first, one), (second, two) = sorted((m.span(1), m[1]) for m in matches if m)
    return b"".join(
        (packet[: first[0]], two, packet[first[1] : second[0]], one, packet[second[1] :])
    )


def marked(packet: bytes, mark: Mapping[str, str]) -> tuple[bytes, bool]:
    """Adds the mark; returns the packet, and whether the old packet was kept (not damaged).

    The mark is one more description, which says that colors are predicted. It replaces an older
    mark. The rest of the packet is preserved byte for byte.

    Args:
        packet: XMP, or empty.
        mark: "by", the name of the weights, and "tool", name and version of the program; and, for
            `find_mark`, the digest of the "weights", the "settings" and the digest of the "input".
    """
    packet = _RDF.sub(_opened, unmarked(utf8(packet)))
    end = packet.rfind(b"</rdf:RDF>")
    kept = end >= 0 or not packet.strip()
    if end < 0:
        packet, end = _PACKET, _PACKET.rfind(b"</rdf:RDF>")
    abouts = (_ABOUT.search(match[0]) for match in _DESCRIPTION.finditer(packet))
    about = next(filter(None, abouts), None)
    packet, replaced = _TYPE.subn(rb"\g<1>" + SOURCE_TYPE.encode(), packet)
    end = packet.rfind(b"</rdf:RDF>")
    description = _description(mark, about[1] if about else b"", with_type=not replaced)
    return packet[:end] + description + packet[end:], kept


def utf8(packet: bytes) -> bytes:
    """Converts a packet from UTF-16, which has zero bytes in every name, to UTF-8."""
    if b"\0" not in packet[:64]:
        return packet
    try:
        return packet.decode("utf-16").lstrip("\ufeff").encode()
    except UnicodeDecodeError:
        return packet


def _description(mark: Mapping[str, str], about: bytes, *, with_type: bool) -> bytes:
    attributes = {
        "xmlns:colorjax": NAMESPACE,
        "xmlns:Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
        "Iptc4xmpExt:DigitalSourceType": SOURCE_TYPE,
        "colorjax:ColorsPredictedBy": mark.get("by", ""),
        "colorjax:Tool": mark.get("tool", ""),
    }
    attributes |= {f"colorjax:{_FIELDS[name]}": mark[name] for name in _LATER if name in mark}
    if not with_type:
        del attributes["xmlns:Iptc4xmpExt"], attributes["Iptc4xmpExt:DigitalSourceType"]
    text = " ".join(f"{name}={quoteattr(value)}" for name, value in attributes.items())
    start = b'<rdf:Description rdf:about="' + about + b'" '
    return start + text.encode("utf-8", "replace") + b"/>\n"


def _opened(match: re.Match[bytes]) -> bytes:
    """Returns an empty RDF element with an end tag of its own."""
    tag = match[0]
    return tag[:-2] + b"></rdf:RDF>" if tag.endswith(b"/>") else tag


def _span_of_mark(content: bytes | mmap.mmap, start: int = 0) -> tuple[int, int] | None:
    """Returns where the first mark after an offset starts and ends; reads each byte a few times."""
    declaration = content.find(_DECLARATION, start)
    while declaration >= 0:
        end = content.find(b">", declaration) + 1
        if not end:
            return None
        opened = content.rfind(b"<", start, declaration)
        tag = content[opened:end] if opened >= 0 else b""
        if tag.endswith(b"/>") and _DESCRIPTION.fullmatch(tag):
            return opened, end
        start = end
        declaration = content.find(_DECLARATION, start)
    return None


def find_mark(content: bytes | mmap.mmap) -> dict[str, str]:
    """Returns the mark in the bytes of a photo file or a packet, as given to `marked`; or {}."""
    span = _span_of_mark(content)
    if span is None:
        return {}
    names = "".join(f' xmlns:{prefix}="{prefix}"' for prefix in ("rdf", "Iptc4xmpExt"))
    try:
        element = ElementTree.fromstring(b"<x%s>%s</x>" % (names.encode(), content[slice(*span)]))[
            0
        ]
    except ElementTree.ParseError:
        return {}
    values = {name: element.get(f"{{{NAMESPACE}}}{field}") for name, field in _FIELDS.items()}
    return {name: value for name, value in values.items() if value is not None}


def read_mark(path: Path) -> dict[str, str]:
    """Returns the mark of a result, or of its sidecar file; {} if there is none.

    The file is searched, not decoded: no format that can store XMP compresses it.
    """
    for file in (path, path.with_name(f"{path.name}.xmp")):
        with (
            contextlib.suppress(OSError, ValueError),  # no such file, or an empty one
            file.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            if mark := find_mark(content):
                return mark
    return {}


def unmarked(packet: bytes) -> bytes:
    """Returns the packet without the mark, for files that cannot store it."""
    kept, done = [], 0
    while span := _span_of_mark(packet, done):
        kept.append(packet[done : span[0]])
        done = span[1] + (packet[span[1] : span[1] + 1] == b"\n")
    return b"".join((*kept, packet[done:]))


def sidecar_xmp(mark: Mapping[str, str]) -> bytes:
    """Returns the packet of a sidecar file, for photo formats that cannot store XMP."""
    return marked(b"", mark)[0]
