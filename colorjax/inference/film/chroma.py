"""Chroma of a film over time: scene cuts, smoothing within a scene, and flicker.

Frames are processed one by one; the state has the size of one frame.
"""

from __future__ import annotations

import dataclasses
import io
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from colorjax import color

# Size of the thumbnail used for cut detection, in pixels.
_VIEW_HEIGHT, _VIEW_WIDTH = 36, 64
# A cut changes the histogram of lightness by more than CUT_SHARE of the pixels and the lightness,
# after the best shift, by a mean above CUT_LIGHTNESS in L; or the latter by CUT_LIGHTNESS_ALONE.
# Measured on 24 photos: pans and zooms at most 0.10 and 6.1, cuts at least 0.13 and 8.6.
CUT_SHARE, CUT_LIGHTNESS, CUT_LIGHTNESS_ALONE = 0.12, 7.0, 14.0
_BINS = 25
_MAX_SHIFT = (4, 8)  # maximum shift by a pan between two frames, rows and columns of the thumbnail

MEMORY_SECONDS = 0.3  # averaging time of chroma where the lightness is constant
_STILL = 1.0  # maximum change of L of an unchanged pixel, for the flicker metric
_MOVED = 3.0  # change of L that reduces the weight of the past by 63 %


class Followed(NamedTuple):
    """State of the last frame.

    Attributes:
        time: in seconds.
        view: thumbnail, L (36, 64).
        light: L at the working size, (h, w).
        raw: predicted a and b, (h, w, 2).
        smooth: painted a and b, (h, w, 2).
    """

    time: float
    view: np.ndarray
    light: np.ndarray
    raw: np.ndarray
    smooth: np.ndarray


@dataclasses.dataclass
class ChromaTrack:
    """Tracks the chroma of the frames of a film.

    Attributes:
        frames: number of frames so far.
        scenes: number of scenes so far.
        still_count: number of pixels with unchanged lightness from one frame to the next.
        raw_change: sum of the change of the predicted (a, b) over them, in Lab units.
        smooth_change: likewise of the painted (a, b).
        last: last frame of the scene; None before the first.
    """

    frames: int = 0
    scenes: int = 0
    still_count: int = 0
    raw_change: float = 0.0
    smooth_change: float = 0.0
    last: Followed | None = None

    def follow(
        self,
        time: float,
        rgb: np.ndarray,
        ab: np.ndarray,
        view: np.ndarray,
        next_view: np.ndarray | None,
    ) -> np.ndarray:
        """Adds the next frame and returns the chroma to paint it with.

        Args:
            time: time of the frame, in seconds.
            rgb: the frame, sRGB uint8 (H, W, 3).
            ab: its predicted a and b, float32 (h, w, 2).
            view: its thumbnail, from `small_view`.
            next_view: thumbnail of the next frame; None for the last frame.

        Returns:
            float32 (h, w, 2), smoothed within the scene. A flash, a single frame unlike those
            before and after it, keeps its own chroma and does not enter the state.
        """
        self.frames += 1
        last = self.last
        if last is not None and is_cut(last.view, view):
            if next_view is not None and not is_cut(last.view, next_view):
                return ab
            last = None
        light = lightness_at(rgb, (ab.shape[0], ab.shape[1]))
        smooth = ab
        if last is None:
            self.scenes += 1
        else:
            smooth = _smoothed(last, time, light, ab)
            self._count_flicker(last, light, ab, smooth)
        self.last = Followed(time, view, light, ab, smooth)
        return smooth

    @property
    def flicker(self) -> float:
        """Mean change of the painted (a, b) between consecutive frames of a scene, in Lab units.

        Over pixels of the working size whose L changes by at most 1; 0 if there are none. Cuts and
        flashes are excluded.
        """
        return self.smooth_change / max(1, self.still_count)

    @property
    def raw_flicker(self) -> float:
        """The same for the predicted chroma, before smoothing."""
        return self.raw_change / max(1, self.still_count)

    def to_bytes(self) -> bytes:
        """Returns the exact state as .npz."""
        buffer = io.BytesIO()
        counts = {name: value for name, value in vars(self).items() if name != "last"}
        np.savez(buffer, **counts, **(self.last._asdict() if self.last else {}))
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> ChromaTrack:
        """Returns the track of the bytes from `to_bytes`."""
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            values: dict[str, Any] = {name: stored[name] for name in stored.files}
        values = {name: value if value.ndim else value.item() for name, value in values.items()}
        if "view" in values:
            values["last"] = Followed(*(values.pop(name) for name in Followed._fields))
        return cls(**values)

    def _count_flicker(
        self, last: Followed, light: np.ndarray, raw: np.ndarray, smooth: np.ndarray
    ) -> None:
        still = np.abs(light - last.light) <= _STILL
        self.still_count += int(still.sum())
        self.raw_change += _change(last.raw, raw)[still].sum().item()
        self.smooth_change += _change(last.smooth, smooth)[still].sum().item()


def _smoothed(last: Followed, time: float, light: np.ndarray, ab: np.ndarray) -> np.ndarray:
    """Returns an exponential moving average of (a, b), reset where L changed."""
    elapsed = max(0.0, time - last.time)
    kept = np.exp(-elapsed / MEMORY_SECONDS - ((light - last.light) / _MOVED) ** 2)
    return (ab + kept[..., None] * (last.smooth - ab)).astype(np.float32)


def _change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return np.linalg.norm((after - before).astype(np.float64), axis=-1)


def small_view(rgb: np.ndarray) -> np.ndarray:
    """Returns the thumbnail of a frame, uint8 (H, W, 3): L, float32 (36, 64)."""
    return lightness_at(rgb, (_VIEW_HEIGHT, _VIEW_WIDTH))


def lightness_at(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns L, float32, of sRGB uint8 (H, W, 3) resized to (height, width)."""
    height, width = size
    small = Image.fromarray(rgb).resize((width, height), Image.Resampling.BOX)
    return color.rgb_u8_to_lab(np.asarray(small))[..., 0]


def is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether two thumbnails show different scenes.

    Uses two measures of shot boundaries: the change of the lightness histogram, which is small for
    pans, and the difference of lightness after the best shift, which is small for changes of
    exposure and moving objects. Both must be large, or the difference very large.

    Args:
        before: L (36, 64) of one frame.
        after: L (36, 64) of a later frame.
    """
    if np.abs(before - after).mean() <= CUT_LIGHTNESS:
        return False  # the best shift cannot increase it
    least = CUT_LIGHTNESS
    if histogram_change(before, after) <= CUT_SHARE:
        least = CUT_LIGHTNESS_ALONE
    return shifted_difference(before, after) > least


def histogram_change(before: np.ndarray, after: np.ndarray) -> float:
    """Returns the fraction of pixels, 0 to 1, by which the histograms of L differ.

    Bins are 4 wide and overlap by half, so that a small change of exposure gives a small value.

    >>> histogram_change(np.zeros((2, 2)), np.array([[0.0, 0.0], [90.0, 90.0]]))
    0.5
    """
    return float(np.abs(_histogram(before) - _histogram(after)).sum() / 2)


def shifted_difference(before: np.ndarray, after: np.ndarray) -> float:
    """Returns the mean change of L in the overlap of two thumbnails, minimized over shifts."""
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
