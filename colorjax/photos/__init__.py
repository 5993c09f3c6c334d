"""Photo files in and out: pixels of every depth, metadata, profile and alpha are kept."""

from colorjax.errors import UnreadablePhoto
from colorjax.photos.files import MAX_PIXELS, has_xmp, read, write
from colorjax.photos.header import Header, probe
from colorjax.photos.photo import Photo, UnwritablePhoto
from colorjax.photos.xmp import sidecar_xmp

__all__ = [
    "MAX_PIXELS",
    "Header",
    "Photo",
    "UnreadablePhoto",
    "UnwritablePhoto",
    "has_xmp",
    "probe",
    "read",
    "sidecar_xmp",
    "write",
]
