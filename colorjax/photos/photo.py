"""A photo read whole: upright pixels in the file's own space and depth, and all that goes along."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from colorjax.photos.color_space import Space


class UnwritablePhoto(Exception):
    """The picture cannot be written: no room, no permission, or too large for the format."""


@dataclasses.dataclass
class Metadata:
    """What a file says of its photo, as bytes.

    Attributes:
        exif: from the TIFF header on; orientation 1.
        xmp: the packet; orientation 1.
        icc: the profile that the written pixels will have.
        dpi: pixels per inch in x and y.
        photoshop: image resource blocks ("8BIM..."), where IPTC lives.
        comment: a line of text.
        parts: the pieces of the file that are carried as they are, in order: segments of a JPEG,
            chunks of a PNG, tags of a TIFF, boxes of a JPEG 2000.
    """

    exif: bytes = b""
    xmp: bytes = b""
    icc: bytes = b""
    dpi: tuple[float, float] | None = None
    photoshop: bytes = b""
    comment: bytes = b""
    parts: list[Any] = dataclasses.field(default_factory=list)


class Photo:
    """A photo that takes colours row by row.

    Attributes:
        height: in pixels, upright.
        width: likewise.
        is_8_bit: whether its output takes 8-bit sRGB as it is.
        notes: what a user should know.
        kind: of the file that it was read from, as `Header.kind`.
        pixels: (H, W, C) in the file's own depth: colours, then alpha and whatever else there is.
        space: of the colours.
        metadata: what goes along.
        encoding: how the file was encoded, by names that its codec knows.
        is_grey: whether `paint_grey` was called, so that one colour channel will be written.
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
        """Binds pixels to their meaning; see the attributes."""
        self.pixels = pixels
        self.height, self.width = pixels.shape[:2]
        self.space = space
        self.kind = kind
        self.metadata = metadata
        self.encoding = encoding or {}
        self.notes = notes
        self.is_8_bit = space.is_plain_u8
        self.is_grey = False
        self._painted = 0

    @property
    def has_alpha(self) -> bool:
        """Whether there are channels beside the colours."""
        return self.pixels.shape[2] > self.space.num_colors

    @property
    def is_painted(self) -> bool:
        """Whether every row was painted."""
        return self._painted >= self.height

    def srgb(self, rows: slice) -> np.ndarray:
        """Returns rows as sRGB through the photo's own profile.

        Args:
            rows: of the upright photo, without a step.

        Returns:
            (n, W, 3): uint8 if `is_8_bit`, which may be a view of the pixels, else float32 in
            [0, 1].
        """
        return self.space.to_srgb(self._colors(rows))

    def paint(self, rows: slice, srgb: np.ndarray) -> None:
        """Replaces the colours of rows, in the file's own space and depth; once for each row.

        Args:
            rows: of the upright photo, without a step.
            srgb: (n, W, 3) sRGB, uint8 or float32 in [0, 1].

        Raises:
            ValueError: another shape.
        """
        colors = self._colors(rows)
        wanted = (*colors.shape[:2], 3)
        if srgb.shape != wanted:
            raise ValueError(f"srgb must be {wanted} for these rows, got {srgb.shape}")
        self.space.from_srgb(srgb, colors)
        self._painted += len(colors)

    def paint_grey(self, rows: slice, grey: np.ndarray) -> None:
        """Replaces rows by grey; all rows or none. One colour channel is written where it fits.

        Args:
            rows: of the upright photo, without a step.
            grey: (n, W) float32 in [0, 1], sRGB-coded.
        """
        if not self.is_grey:
            self.is_grey = True
            if self.space.profile is not None:
                self.notes = (*self.notes, "the grey is coded as sRGB: its profile was dropped")
            self.metadata.icc = b""
        colors = self._colors(rows)
        if np.shape(grey) != colors.shape[:2]:
            raise ValueError(f"grey must be {colors.shape[:2]} for these rows, got {grey.shape}")
        colors[..., 0] = self.space.coded(grey)
        self._painted += len(colors)

    def _colors(self, rows: slice) -> np.ndarray:
        return self.pixels[rows, :, : self.space.num_colors]
