"""A photo in memory: upright pixels in the file's own color space and depth, and metadata."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from colorjax.photos.color_space import Space, bands


class UnwritablePhoto(Exception):
    """The photo cannot be written: disk full, no permission, or too large for the format."""


@dataclasses.dataclass
class Metadata:
    """Metadata of a photo, as bytes.

    Attributes:
        exif: bytes starting with the TIFF header; orientation 1.
        xmp: the packet; orientation 1.
        icc: the profile of the pixels to write.
        dpi: pixels per inch in x and y.
        photoshop: image resource blocks ("8BIM..."), which contain IPTC.
        comment: a line of text.
        parts: parts of the file that are copied unchanged, in order: segments of a JPEG, chunks of
            a PNG, tags of a TIFF, boxes of a JPEG 2000.
    """

    exif: bytes = b""
    xmp: bytes = b""
    icc: bytes = b""
    dpi: tuple[float, float] | None = None
    photoshop: bytes = b""
    comment: bytes = b""
    parts: list[Any] = dataclasses.field(default_factory=list)


class Photo:
    """A photo that is colorized row by row.

    Attributes:
        height: height of the upright photo, in pixels.
        width: width of the upright photo, in pixels.
        is_8_bit: whether the pixels are 8-bit sRGB.
        notes: messages for the user.
        kind: kind of the file that it was read from, as `Header.kind`.
        pixels: (H, W, C) in the file's own depth: colors, then alpha and other channels.
        space: color space of the pixels.
        metadata: metadata of the file.
        encoding: encoding parameters of the file, named as in its codec.
        is_gray: whether `paint_gray` was called, so that one color channel will be written.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        space: Space,
        *,
        kind: str,
        metadata: Metadata,
        encoding: dict[str, Any] | None = None,
        notes: tuple[str, ...] = (),
    ):
        """Creates a photo; see the attributes."""
        self.pixels = pixels
        self.height, self.width = pixels.shape[:2]
        self.space = space
        self.kind = kind
        self.metadata = metadata
        self.encoding = encoding or {}
        self.notes = notes
        self.is_8_bit = space.is_plain_u8
        self.is_gray = False
        self._painted = 0

    @property
    def has_alpha(self) -> bool:
        """Whether there are channels in addition to the colors."""
        return self.pixels.shape[2] > self.space.num_colors

    @property
    def is_painted(self) -> bool:
        """Whether every row was painted."""
        return self._painted >= self.height

    def set_white(self, white: float) -> tuple[str, ...]:
        """Stretches the colors so that a stored value becomes white; larger ones become white too.

        Args:
            white: above 0; a value above the photo's own white changes nothing.

        Returns:
            Notes.
        """
        full = self.space.full
        if white > full:
            return (f"--white {white:g} is above its own white {full:g}: not used",)
        for rows in bands(self.pixels):
            colors = self._colors(rows)
            stretched = np.clip(colors.astype(np.float64), 0, white) * (full / white)
            colors[...] = stretched if colors.dtype.kind == "f" else np.rint(stretched)
        return ()

    def dark_note(self) -> tuple[str, ...]:
        """Returns a note if no color is above a quarter of white, with more than 8 bits; else none.

        Many cameras and scanners store 10, 12 or 14 bits in a file of 16 bits.
        """
        full, is_float = self.space.full, self.pixels.dtype.kind == "f"
        if self.space.model == "cmyk" or (full <= 255 and not is_float):
            return ()
        top = 0.0
        for rows in bands(self.pixels):
            colors = self._colors(rows)
            top = max(top, float(np.max(colors, initial=0, where=np.isfinite(colors))))
        if not 0 < top <= full / 4:
            return ()
        level = top if is_float else 2 ** int(top).bit_length() - 1
        return (
            f"very dark: its largest value is {top:.6g} of {full:.6g}; "
            f"--white {level:.9g} makes it brighter",
        )

    def srgb(self, rows: slice) -> np.ndarray:
        """Returns rows converted to sRGB with the photo's profile.

        Args:
            rows: rows of the upright photo, without a step.

        Returns:
            (n, W, 3): uint8 (possibly a view of the pixels) if `is_8_bit`, else float32 in [0, 1].
        """
        return self.space.to_srgb(self._colors(rows))

    def paint(self, rows: slice, srgb: np.ndarray) -> None:
        """Replaces the colors of rows, in the file's own space and depth; call once per row.

        Args:
            rows: rows of the upright photo, without a step.
            srgb: (n, W, 3) sRGB, uint8 or float32 in [0, 1].

        Raises:
            ValueError: wrong shape.
        """
        colors = self._colors(rows)
        wanted = (*colors.shape[:2], 3)
        if srgb.shape != wanted:
            raise ValueError(f"srgb must be {wanted} for these rows, got {srgb.shape}")
        self.space.from_srgb(srgb, colors)
        self._painted += len(colors)

    def paint_gray(self, rows: slice, gray: np.ndarray) -> None:
        """Replaces rows by gray; must be called for all rows or none.

        One color channel is written if the format allows it.

        Args:
            rows: rows of the upright photo, without a step.
            gray: (n, W) float32 in [0, 1], sRGB-coded.
        """
        if not self.is_gray:
            self.is_gray = True
            if self.space.profile is not None:
                self.notes = (
                    *self.notes,
                    "the gray levels are coded as sRGB: the color profile was dropped",
                )
            self.metadata.icc = b""
        colors = self._colors(rows)
        if np.shape(gray) != colors.shape[:2]:
            raise ValueError(f"gray must be {colors.shape[:2]} for these rows, got {gray.shape}")
        colors[..., 0] = self.space.coded(gray)
        self._painted += len(colors)

    def _colors(self, rows: slice) -> np.ndarray:
        return self.pixels[rows, :, : self.space.num_colors]
