"""The chroma of a film over time: scene cuts, smoothing within a scene, and flicker.

Frames come one by one; what is remembered of them has the size of one frame.
"""

from __future__ import annotations

import dataclasses
import io

import numpy as np
from PIL import Image

from colorjax import color

# The smaller view in which cuts are looked for, in pixels.
_VIEW_HEIGHT, _VIEW_WIDTH = 36, 64
# A cut changes the histogram of lightness by more than this share of the pixels, and the lightness
# by more than this mean, in L, even after the best shift. On the shots of 24 photos the figures are
# in docs/film.md.
CUT_SHARE, CUT_LIGHTNESS = 0.12, 7.0
_BINS = 25
_MAX_SHIFT = (4, 8)  # rows and columns of the view that a pan may move between two frames

MEMORY_SECONDS = 0.3  # chroma of a place whose lightness stays is averaged over about this long
_STILL = 1.0  # change of L up to which a place counts as unchanged, for the flicker figure
_MOVED = 3.0  # change of L at which a place has, by 63 %, become another thing


@dataclasses.dataclass
class ChromaTrack:
    """Follows the chroma of a film's frames.

    Attributes:
        frames: followed so far.
        scenes: found so far.
        time: of the last frame that was followed, in seconds.
        view: its small view, L (36, 64); None before the first frame.
        light: its lightness at the working size, (h, w).
        raw: its a and b as predicted, (h, w, 2).
        smooth: its a and b as painted, (h, w, 2).
        still_count: pairs of places whose lightness stayed from one frame to the next.
        raw_change: sum of the change of (a, b) over them, as predicted, in Lab units.
        smooth_change: likewise as painted.
    """

    frames: int = 0
    scenes: int = 0
    time: float = 0.0
    view: np.ndarray | None = None
    light: np.ndarray | None = None
    raw: np.ndarray | None = None
    smooth: np.ndarray | None = None
    still_count: int = 0
    raw_change: float = 0.0
    smooth_change: float = 0.0

    def follow(
        self,
        time: float,
        rgb: np.ndarray,
        ab: np.ndarray,
        view: np.ndarray,
        next_view: np.ndarray | None,
    ) -> np.ndarray:
        """Takes the next frame and returns the chroma to paint it with.

        Args:
            time: of the frame, in seconds.
            rgb: the frame, sRGB uint8 (H, W, 3).
            ab: predicted for it, float32 (h, w, 2).
            view: of the frame, from `small_view`.
            next_view: of the frame after it; None: it is the last.

        Returns:
            float32 (h, w, 2): smoothed within the scene. A single frame unlike those before and
            after it, a flash, keeps its own and is forgotten.
        """
        self.frames += 1
        is_other = self.view is None or is_cut(self.view, view)
        if is_other and not (self.view is None or next_view is None):
            if not is_cut(self.view, next_view):
                return ab
        light = lightness_at(rgb, ab.shape[:2])
        smooth = ab
        if is_other:
            self.scenes += 1
        else:
            smooth = self._smoothed(time, light, ab)
            self._count_flicker(light, ab, smooth)
        self.time, self.view, self.light, self.raw, self.smooth = time, view, light, ab, smooth
        return smooth

    @property
    def flicker(self) -> float:
        """Mean change of the painted (a, b) between consecutive frames of a scene, in Lab units.

        Over the places of the working size whose L changes by at most 1; 0 where there are none.
        Cuts and flashes do not count.
        """
        return self.smooth_change / max(1, self.still_count)

    @property
    def raw_flicker(self) -> float:
        """The same of the chroma as it was predicted, before smoothing."""
        return self.raw_change / max(1, self.still_count)

    def to_bytes(self) -> bytes:
        """Returns all of it, exactly, as .npz."""
        buffer = io.BytesIO()
        kept = {name: value for name, value in vars(self).items() if value is not None}
        np.savez(buffer, **kept)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> ChromaTrack:
        """Reads what `to_bytes` wrote."""
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            values = {name: stored[name] for name in stored.files}
        return cls(**{name: v if v.ndim else v.item() for name, v in values.items()})

    def _smoothed(self, time: float, light: np.ndarray, ab: np.ndarray) -> np.ndarray:
        """Returns an exponential moving average of (a, b) that forgets where L changed."""
        elapsed = max(0.0, time - self.time)
        kept = np.exp(-elapsed / MEMORY_SECONDS - ((light - self.light) / _MOVED) ** 2)
        return (ab + kept[..., None] * (self.smooth - ab)).astype(np.float32)

    def _count_flicker(self, light: np.ndarray, ab: np.ndarray, smooth: np.ndarray) -> None:
        still = np.abs(light - self.light) <= _STILL
        self.still_count += int(still.sum())
        for name, new, old in (
            ("raw_change", ab, self.raw),
            ("smooth_change", smooth, self.smooth),
        ):
            change = np.linalg.norm(new - old, axis=-1)
            setattr(self, name, getattr(self, name) + float(change[still].sum(dtype=np.float64)))


def small_view(rgb: np.ndarray) -> np.ndarray:
    """Returns the lightness of a frame, uint8 (H, W, 3), in small: L, float32 (36, 64)."""
    return lightness_at(rgb, (_VIEW_HEIGHT, _VIEW_WIDTH))


def lightness_at(rgb: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Returns L, float32, of sRGB uint8 (H, W, 3) that is resized to (height, width)."""
    small = Image.fromarray(rgb).resize(size[::-1], Image.Resampling.BOX)
    return color.rgb_u8_to_lab(np.asarray(small))[..., 0]


def is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether two small views show different scenes.

    Two measures of shot boundaries have to agree: the histogram of lightness, which pans leave
    nearly alone, and the difference of lightness after the best shift, which a change of exposure
    or a moving object of some size leaves small.

    Args:
        before: L (36, 64) of one frame.
        after: of a later one.
    """
    return (
        histogram_change(before, after) > CUT_SHARE
        and shifted_difference(before, after) > CUT_LIGHTNESS
    )


def histogram_change(before: np.ndarray, after: np.ndarray) -> float:
    """Returns the share of pixels, 0 to 1, that the histograms of L do not have in common.

    Bins are 4 wide and overlap by half, so that a small change of exposure is a small change.

    >>> histogram_change(np.zeros((2, 2)), np.array([[0.0, 0.0], [90.0, 90.0]]))
    0.5
    """
    return float(np.abs(_histogram(before) - _histogram(after)).sum() / 2)


def shifted_difference(before: np.ndarray, after: np.ndarray) -> float:
    """Returns the mean change of L where two views overlap, at the shift that makes it least."""
    rows, columns = _MAX_SHIFT
    return min(
        float(np.abs(_shifted(before, down, right) - _shifted(after, -down, -right)).mean())
        for down in range(-rows, rows + 1)
        for right in range(-columns, columns + 1)
    )


def _shifted(view: np.ndarray, down: int, right: int) -> np.ndarray:
    height, width = view.shape
    return view[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)]


def _histogram(view: np.ndarray) -> np.ndarray:
    counts, _ = np.histogram(view, _BINS, (0, 100))
    soft = np.convolve(np.pad(counts, 1, mode="edge"), [0.25, 0.5, 0.25], "valid")
    return soft / view.size
