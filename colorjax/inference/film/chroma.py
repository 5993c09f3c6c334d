"""The chroma of a film over time: scene cuts, smoothing within a scene, and flicker.

Frames come one by one; what is remembered of them has the size of one frame.
"""

from __future__ import annotations

import dataclasses
import io
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from colorjax import color

# The smaller view in which cuts are looked for, in pixels.
_VIEW_HEIGHT, _VIEW_WIDTH = 36, 64
# A cut changes the histogram of lightness by more than this share of the pixels, and the lightness
# by more than this mean, in L, even after the best shift; or the latter by very much. Pans, zooms
# and cuts made of 24 photos: pans and zooms at most 0.10 and 6.1, cuts 0.13 and 8.6 or more.
CUT_SHARE, CUT_LIGHTNESS, CUT_LIGHTNESS_ALONE = 0.12, 7.0, 14.0
_BINS = 25
_MAX_SHIFT = (4, 8)  # rows and columns of the view that a pan may move between two frames

MEMORY_SECONDS = 0.3  # chroma of a place whose lightness stays is averaged over about this long
_STILL = 1.0  # change of L up to which a place counts as unchanged, for the flicker figure
_MOVED = 3.0  # change of L at which a place has, by 63 %, become another thing


class Followed(NamedTuple):
    """What is remembered of the last frame that was followed.

    Attributes:
        time: in seconds.
        view: its small view, L (36, 64).
        light: its L at the working size, (h, w).
        raw: its a and b as predicted, (h, w, 2).
        smooth: its a and b as painted, (h, w, 2).
    """

    time: float
    view: np.ndarray
    light: np.ndarray
    raw: np.ndarray
    smooth: np.ndarray


@dataclasses.dataclass
class ChromaTrack:
    """Follows the chroma of a film's frames.

    Attributes:
        frames: followed so far.
        scenes: found so far.
        still_count: pairs of places whose lightness stayed from one frame to the next.
        raw_change: sum of the change of (a, b) over them, as predicted, in Lab units.
        smooth_change: likewise as painted.
        last: frame of the scene; None before the first.
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
        counts = {name: value for name, value in vars(self).items() if name != "last"}
        np.savez(buffer, **counts, **(self.last._asdict() if self.last else {}))
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> ChromaTrack:
        """Reads what `to_bytes` wrote."""
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
    """Returns an exponential moving average of (a, b) that forgets where L changed."""
    elapsed = max(0.0, time - last.time)
    kept = np.exp(-elapsed / MEMORY_SECONDS - ((light - last.light) / _MOVED) ** 2)
    return (ab + kept[..., None] * (last.smooth - ab)).astype(np.float32)


def _change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return np.linalg.norm((after - before).astype(np.float64), axis=-1)


def small_view(rgb: np.ndarray) -> np.ndarray:
    """Returns the lightness of a frame, uint8 (H, W, 3), in small: L, float32 (36, 64)."""
    return lightness_at(rgb, (_VIEW_HEIGHT, _VIEW_WIDTH))


def lightness_at(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns L, float32, of sRGB uint8 (H, W, 3) that is resized to (height, width)."""
    height, width = size
    small = Image.fromarray(rgb).resize((width, height), Image.Resampling.BOX)
    return color.rgb_u8_to_lab(np.asarray(small))[..., 0]


def is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether two small views show different scenes.

    Two measures of shot boundaries are taken: the histogram of lightness, which pans leave nearly
    alone, and the difference of lightness after the best shift, which a change of exposure or a
    moving object of some size leaves small. Both have to be large, or the difference very large.

    Args:
        before: L (36, 64) of one frame.
        after: of a later one.
    """
    if np.abs(before - after).mean() <= CUT_LIGHTNESS:
        return False  # as the best shift makes it no larger
    least = CUT_LIGHTNESS
    if histogram_change(before, after) <= CUT_SHARE:
        least = CUT_LIGHTNESS_ALONE
    return shifted_difference(before, after) > least


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
