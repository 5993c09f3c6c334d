"""Scene cuts, smoothing over time and the flicker metric, on arrays and on real photos."""

import itertools

import numpy as np
import pytest
from PIL import Image

from colorjax import color
from colorjax.data.sources.source import read_sample
from colorjax.inference.film.chroma import (
    MEMORY_SECONDS,
    ChromaTrack,
    histogram_change,
    is_cut,
    lightness_at,
    shifted_difference,
    small_view,
)

RATE = 25
# Photos inside scikit-image.
SCENES = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "motorcycle_left.png",
    "rocket.jpg",
    "retina.jpg",
)


def scene(seed, height=90, width=160):
    """A gray picture with large objects, uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(10, 240, (7, 11), np.uint8))
    gray = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
    return np.repeat(gray[..., None], 3, -1)


def follow(frames, chroma, track=None):
    """Runs a track over frames with a chroma (h, w, 2) each; returns it and the painted chroma."""
    track = track or ChromaTrack()
    views = [small_view(frame) for frame in frames]
    painted = [
        track.follow(i / RATE, frame, ab.astype(np.float32), view, next_view)
        for i, (frame, ab, view, next_view) in enumerate(
            zip(frames, chroma, views, [*views[1:], None], strict=True)
        )
    ]
    return track, painted


def noise(number, seed=0, deviation=5.0):
    return np.random.default_rng(seed).normal((10, 20), deviation, (number, 9, 16, 2))


def count_scenes(frames):
    return follow(frames, noise(len(frames)))[0].scenes


def panned(picture, number, step, width=100):
    return [np.ascontiguousarray(picture[:, i * step : i * step + width]) for i in range(number)]


def test_known_cuts_are_found():
    shots = [[scene(seed)] * 3 for seed in range(12)]
    assert count_scenes([frame for shot in shots for frame in shot]) == 12


def test_pans_fades_and_moving_objects_are_no_cuts():
    wide = scene(3, width=400)
    assert count_scenes(panned(wide, 25, 12)) == 1  # 12 % of the width from frame to frame
    fade = [(scene(4) * (1 - i / 20)).astype(np.uint8) for i in range(20)]
    assert count_scenes(fade) == 1
    crossing = [scene(5).copy() for _ in range(15)]
    for i, frame in enumerate(crossing):
        frame[30:60, i * 10 : i * 10 + 30] = 250
    assert count_scenes(crossing) == 1


def test_a_flash_of_one_frame_is_no_cut_and_is_forgotten():
    frames = [scene(6)] * 5
    chroma = noise(5)
    flashed = [*frames[:2], np.full_like(frames[0], 250), *frames[2:4]]
    track, painted = follow(flashed, chroma)
    assert track.scenes == 1
    np.testing.assert_array_equal(painted[2], chroma[2].astype(np.float32))
    kept = np.exp(-2 / RATE / MEMORY_SECONDS)  # two frames have passed since the one before it
    expected = chroma[3] + kept * (painted[1] - chroma[3])
    np.testing.assert_allclose(painted[3], expected, atol=1e-4)


def test_a_last_frame_of_another_scene_is_a_cut():
    assert count_scenes([scene(7), scene(7), scene(8)]) == 2


def test_cuts_between_photos_and_none_within_pans_and_zooms():
    shots = []
    for number, name in enumerate(SCENES):
        photo = Image.fromarray(read_sample(name)).convert("L").resize((320, 240)).convert("RGB")
        if number % 2:
            shots.append([photo.crop((8 * i, 30, 192 + 8 * i, 210)) for i in range(8)])
        else:
            inset = range(0, 32, 4)
            shots.append([photo.crop((i, i, 320 - i, 240 - i)).resize((192, 180)) for i in inset])
    views = [[small_view(np.asarray(frame)) for frame in shot] for shot in shots]
    within = [is_cut(*pair) for shot in views for pair in itertools.pairwise(shot)]
    pairs = list(itertools.combinations(views, 2))
    between = [is_cut(before[-1], after[0]) for before, after in pairs]
    assert (sum(within), len(within)) == (0, len(shots) * 7)
    assert np.mean(between) > 0.98


def test_measures_against_plain_sums():
    a, b = small_view(scene(1)), small_view(scene(2))
    shares = []
    for view in (a, b):
        counts = np.zeros(25)
        for value in view.ravel():
            counts[min(int(value // 4), 24)] += 1
        padded = [counts[0], *counts, counts[-1]]
        shares.append(
            [(padded[i] + 2 * padded[i + 1] + padded[i + 2]) / 4 / view.size for i in range(25)]
        )
    expected = sum(abs(x - y) for x, y in zip(*shares, strict=True)) / 2
    assert histogram_change(a, b) == pytest.approx(expected, abs=1e-4)
    moved = np.full_like(a, 50)
    moved[2:, 5:] = a[:-2, :-5]
    assert shifted_difference(a, moved) == shifted_difference(moved, a) == 0
    assert shifted_difference(a, a + 3) <= 3


def test_lightness_is_that_of_the_resized_frame():
    frame = scene(9, 36, 64)
    np.testing.assert_array_equal(small_view(frame), color.rgb_u8_to_lab(frame)[..., 0])
    assert lightness_at(frame, (9, 16)).shape == (9, 16)


def test_smoothing_is_a_moving_average_where_lightness_stays():
    chroma = noise(10)
    track, painted = follow([scene(1)] * 10, chroma)
    expected = chroma[0]
    kept = np.exp(-1 / RATE / MEMORY_SECONDS)
    for i in range(1, 10):
        expected = kept * expected + (1 - kept) * chroma[i]
    np.testing.assert_allclose(painted[-1], expected, atol=1e-4)
    assert track.frames == 10


def test_smoothing_forgets_places_whose_lightness_changed():
    frame = scene(1) // 2
    other = frame.copy()
    other[:, 110:] += 40
    chroma = noise(2)
    _, painted = follow([frame, other], chroma)
    np.testing.assert_allclose(painted[1][:, 12:], chroma[1][:, 12:], atol=1e-3)
    assert np.abs(painted[1][:, :10] - chroma[1][:, :10]).mean() > 2


def test_a_cut_forgets_the_scene_before():
    frames, chroma = [scene(1)] * 3 + [scene(2)] * 3, noise(6)
    _, painted = follow(frames, chroma)
    np.testing.assert_array_equal(painted[3], chroma[3].astype(np.float32))


def test_flicker_is_the_mean_change_where_lightness_stays():
    rng = np.random.default_rng(3)
    frames = [np.clip(scene(1) + rng.integers(-9, 10, (90, 1, 1)), 0, 255) for _ in range(4)]
    frames = [frame.astype(np.uint8) for frame in [*frames, *[scene(2)] * 3]]
    chroma = noise(7)
    track, painted = follow(frames, chroma)
    assert track.scenes == 2
    lights = [lightness_at(frame, (9, 16)) for frame in frames]
    for figure, values in ((track.raw_flicker, chroma), (track.flicker, painted)):
        changes = []
        for i in (1, 2, 3, 5, 6):  # 4 is the first of its scene
            for y, x in np.ndindex(9, 16):
                if abs(lights[i][y, x] - lights[i - 1][y, x]) <= 1:
                    da, db = values[i][y, x] - values[i - 1][y, x]
                    changes.append((da**2 + db**2) ** 0.5)
        assert 200 < len(changes) < 5 * 9 * 16  # some pixels are unchanged, some are not
        assert figure == pytest.approx(np.mean(changes), rel=1e-5)
    assert 0 < track.flicker < track.raw_flicker / 3


def test_a_film_of_one_frame_has_no_flicker():
    track, painted = follow([scene(1)], noise(1))
    assert (track.frames, track.scenes, track.flicker, track.raw_flicker) == (1, 1, 0, 0)
    np.testing.assert_array_equal(painted[0], noise(1)[0].astype(np.float32))


@pytest.mark.parametrize("at", [0, 1, 3])
def test_what_is_remembered_survives_being_stored(at):
    frames, chroma = [scene(1)] * 6, noise(6)
    views = [small_view(frame) for frame in frames]
    whole, broken = ChromaTrack(), ChromaTrack()
    for i in range(6):
        if i == at:
            broken = ChromaTrack.from_bytes(broken.to_bytes())
        step = i / RATE, frames[i], chroma[i].astype(np.float32), views[i], views[i]
        np.testing.assert_array_equal(whole.follow(*step), broken.follow(*step))
    assert whole.flicker == broken.flicker
    assert whole.scenes == broken.scenes == 1
