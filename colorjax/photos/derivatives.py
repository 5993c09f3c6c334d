"""Removes what was made of the old pixels: thumbnails, previews, and XMP about further pictures.

The results have other colors and are upright. A thumbnail in the file would still show the old
photo; films and gain maps after the picture are not written, so XMP must not announce them.
"""

from __future__ import annotations

import dataclasses
import re
import struct

from colorjax.photos import exif, xmp
from colorjax.photos.photo import Metadata

THUMBNAIL_NOTE = "the small preview in the file was left out: it shows the old photo"
GAIN_MAP_NOTE = "its gain map was dropped: the result is not HDR"
FILM_NOTE = "the film after its picture (motion photo) was dropped"
JPEG_START = re.compile(rb"\xff\xd8\xff[\xc0-\xfe]")  # of a JPEG in other data
_RESOURCE_HEAD = re.compile(rb"8BIM|MeSa|AgHg|PHUT|DCSR")
_THUMBNAIL_RESOURCES = (1033, 1036)
_ANY = rb"\w+"
_THUMBNAIL_PROPERTIES = {
    b"http://ns.adobe.com/xap/1.0/": rb"Thumbnails",
    b"http://ns.google.com/photos/1.0/image/": rb"(?:Data|Mime)",
}
_MOTION = rb"(?:MotionPhoto|MicroVideo|OLivePhoto|VideoLength)\w*"
_FURTHER_PROPERTIES = {
    b"http://ns.google.com/photos/1.0/camera/": _MOTION,
    b"http://ns.oplus.com/photos/1.0/camera/": _MOTION,
    b"http://ns.google.com/photos/1.0/container/": rb"Directory",
    b"http://ns.google.com/photos/dd/1.0/device/": rb"Container",
    b"http://ns.adobe.com/hdr-gain-map/1.0/": _ANY,
    b"http://ns.apple.com/HDRGainMap/1.0/": _ANY,
}


def removed(metadata: Metadata) -> tuple[Metadata, tuple[str, ...]]:
    """Returns the metadata without thumbnails and announcements, and notes about them."""
    blob = exif_without_previews(metadata.exif)
    blocks = resources_without_thumbnails(metadata.photoshop)
    before = xmp.utf8(metadata.xmp)
    packet = xmp_without_thumbnails(before)
    notes: tuple[str, ...] = ()
    if (blob, blocks, packet) != (metadata.exif, metadata.photoshop, before):
        notes = (THUMBNAIL_NOTE,)
    announced = packet
    packet = xmp.without(packet, _FURTHER_PROPERTIES)
    if packet != announced:
        notes += ("XMP that announces a film, gain map or further pictures was removed",)
    return dataclasses.replace(metadata, exif=blob, photoshop=blocks, xmp=packet), notes


def xmp_without_thumbnails(packet: bytes) -> bytes:
    """Returns XMP without the pictures in it."""
    return xmp.without(packet, _THUMBNAIL_PROPERTIES)


def exif_without_previews(blob: bytes) -> bytes:
    """Returns EXIF without its thumbnail directory; JPEG previews in MakerNote become zeros.

    The other values keep their offsets, because a MakerNote can contain offsets.
    """
    blob = exif.without_thumbnail(blob)
    kept, done = [], 0
    while start := JPEG_START.search(blob, done):
        scan = blob.find(b"\xff\xda", start.end())
        end = blob.find(b"\xff\xd9", scan + 2) + 2 if scan >= 0 else 1
        if end < 2:  # a later start has no end either
            break
        kept += [blob[done : start.start()], bytes(end - start.start())]
        done = end
    return b"".join((*kept, blob[done:]))


def resources_without_thumbnails(blocks: bytes) -> bytes:
    """Returns Photoshop's image resource blocks without thumbnails; the rest is unchanged."""
    kept, offset = [], 0
    while _RESOURCE_HEAD.match(blocks, offset) and offset + 12 <= len(blocks):
        name_bytes = 1 + blocks[offset + 6]
        head = 6 + name_bytes + name_bytes % 2
        if offset + head + 4 > len(blocks):
            break
        (size,) = struct.unpack_from(">I", blocks, offset + head)
        end = offset + head + 4 + size + size % 2
        (number,) = struct.unpack_from(">H", blocks, offset + 4)
        if number not in _THUMBNAIL_RESOURCES:
            kept.append(blocks[offset:end])
        offset = end
    return b"".join(kept) + blocks[offset:]
