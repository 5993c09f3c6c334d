"""XMP as bytes: orientation made upright, and the mark that colours are predicted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.sax.saxutils import quoteattr

from colorjax.photos.exif import SIDEWAYS

NAMESPACE = "https://colorjax.dev/ns/1.0/"
# IPTC's term for a photo to which a trained model added something.
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_PACKET = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
    b'</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>'
)
_MARK = re.compile(rb"<rdf:Description\b[^>]*xmlns:colorjax=[^>]*/>\n?")
_EMPTY_RDF = re.compile(rb"<rdf:RDF\b([^>]*)/>")
_ABOUT = re.compile(rb"<rdf:Description\b[^>]*rdf:about=\"([^\"<>]*)\"")
_TYPE = re.compile(rb"(Iptc4xmpExt:DigitalSourceType(?:\s*=\s*[\"']|>|\s+rdf:resource=\"))[^<\"']*")
_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>)\s*)([1-8])")
_SIZES = (
    (b"tiff:ImageWidth", b"tiff:ImageLength"),
    (b"exif:PixelXDimension", b"exif:PixelYDimension"),
)


def orientation(packet: bytes) -> int:
    """Returns tiff:Orientation, 1 to 8; 1 where the packet has none."""
    found = _ORIENTATION.search(packet)
    return int(found[2]) if found else 1


def upright(packet: bytes, turned: int) -> bytes:
    """Returns the packet for pixels turned upright; `turned` as in `exif.upright`."""
    packet = _ORIENTATION.sub(rb"\g<1>1", packet)
    if turned in SIDEWAYS:
        for width, height in _SIZES:
            packet = _swap(packet, width, height)
    return packet


def _swap(packet: bytes, width: bytes, height: bytes) -> bytes:
    found = [re.search(name + rb"(?:\s*=\s*[\"']|>)\s*(\d+)", packet) for name in (width, height)]
    if found[0] is None or found[1] is None:
        return packet
    (first, one), (second, two) = sorted((m.span(1), m[1]) for m in found if m)
    return b"".join(
        (packet[: first[0]], two, packet[first[1] : second[0]], one, packet[second[1] :])
    )


def marked(packet: bytes, mark: Mapping[str, str]) -> tuple[bytes, bool]:
    """Adds the mark; returns the packet and whether the old one was kept, that is, not damaged.

    The result is the packet with one description more, which says that colours are predicted.

    The rest of the packet stays as it is, byte for byte; an older mark is replaced.

    Args:
        packet: XMP, or nothing.
        mark: "by", the name of the weights, and "tool", name and version of the program.
    """
    packet = _MARK.sub(b"", _utf8(packet))
    packet = _EMPTY_RDF.sub(rb"<rdf:RDF\1></rdf:RDF>", packet)
    end = packet.rfind(b"</rdf:RDF>")
    kept = end >= 0 or not packet.strip()
    if end < 0:
        packet, end = _PACKET, _PACKET.rfind(b"</rdf:RDF>")
    about = _ABOUT.search(packet)
    packet, replaced = _TYPE.subn(rb"\g<1>" + SOURCE_TYPE.encode(), packet)
    end = packet.rfind(b"</rdf:RDF>")
    description = _description(mark, about[1] if about else b"", with_type=not replaced)
    return packet[:end] + description + packet[end:], kept


def _utf8(packet: bytes) -> bytes:
    """XMP in a file may be UTF-16, which has zero bytes in every name."""
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
    if not with_type:
        del attributes["xmlns:Iptc4xmpExt"], attributes["Iptc4xmpExt:DigitalSourceType"]
    text = " ".join(f"{name}={quoteattr(value)}" for name, value in attributes.items())
    start = b'<rdf:Description rdf:about="' + about + b'" '
    return start + text.encode("utf-8", "replace") + b"/>\n"


def unmarked(packet: bytes) -> bytes:
    """Returns the packet without the mark, for a file that has no room for it."""
    return _MARK.sub(b"", packet)


def sidecar_xmp(mark: Mapping[str, str]) -> bytes:
    """Returns the packet for a file beside a photo whose format has no room for it."""
    return marked(b"", mark)[0]
