"""Reads and writes photo files; bit depth, metadata, ICC profile and alpha are preserved."""

from colorjax.errors import UnreadablePhoto
from colorjax.photos.files import MAX_PIXELS, has_xmp, read, write
from colorjax.photos.header import Header, probe
from colorjax.photos.photo import Photo, UnwritablePhoto
from colorjax.photos.xmp import find_mark, read_mark, sidecar_xmp

__all__ = [
    "MAX_PIXELS",
    "Header",
    "Photo",
    "UnreadablePhoto",
    "UnwritablePhoto",
    "find_mark",
    "has_xmp",
    "probe",
    "read",
    "read_mark",
    "sidecar_xmp",
    "write",
]
