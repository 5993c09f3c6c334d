import numpy as np
import pytest

from colorjax import color
from colorjax.data import hints, pipeline
from colorjax.data.hints import HintSquare
from colorjax.data.sources.source import FolderSource
from configs import zhang17

NUMBER = 4000


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(0)
    return [hints.draw_for_training(rng, 64, 1 / 8, (1, 9)) for _ in range(NUMBER)]


def test_their_number_is_geometric(drawn):
    """systems_b.md 1.2: p = 1/8; mean (1 - p) / p = 7, variance (1 - p) / p^2 = 56."""
    counts = np.array([len(some) for some in drawn])
    assert counts.mean() == pytest.approx(7, abs=4 * np.sqrt(56 / NUMBER))
    assert (counts == 0).mean() == pytest.approx(1 / 8, abs=4 * np.sqrt(0.11 / NUMBER))


def test_sides_are_even_and_positions_normal(drawn):
    every = [hint for some in drawn for hint in some]
    sides = np.bincount([hint.side for hint in every], minlength=11)
    assert sides[0] == sides[10] == 0
    np.testing.assert_allclose(sides[1:10] / len(every), 1 / 9, atol=0.01)
    for side in (1, 9):
        room = 64 - side
        corners = np.array([(h.top, h.left) for h in every if h.side == side]).ravel()
        assert corners.min() >= 0
        assert corners.max() == room  # clipped to the photo, and reaching its border
        assert corners.mean() == pytest.approx(room / 2, abs=1)
        inside = corners[(corners > 0) & (corners < room)]
        middle = np.abs(inside - room / 2) < (room + 1) / 4
        assert middle.mean() == pytest.approx(0.6827 / 0.9545, abs=0.03)  # of a normal, cut at 2


def test_positions_spread_by_a_quarter_of_the_side(drawn):
    """By the quartiles, which clipping at two standard deviations leaves alone."""
    for axis in ("top", "left"):
        centers = np.array([getattr(hint, axis) + hint.side / 2 for some in drawn for hint in some])
        low, middle, high = np.quantile(centers, [0.25, 0.5, 0.75])
        assert middle == pytest.approx(32, abs=0.6)  # places are whole pixels
        assert (high - low) / 1.349 == pytest.approx(60 / 4, abs=1)  # 64 px less the mean side of 5


def test_stop_and_sides_are_those_asked_for():
    rng = np.random.default_rng(0)
    assert hints.draw_for_training(rng, 64, 1.0, (1, 9)) == []
    half = [hints.draw_for_training(rng, 8, 0.5, (3, 12)) for _ in range(2_000)]
    counts = np.array([len(some) for some in half])
    assert counts.mean() == pytest.approx(1, abs=4 * np.sqrt(2 / 2_000))
    every = [hint for some in half for hint in some]
    assert {hint.side for hint in every} == {3, 4, 5, 6, 7, 8}  # none is larger than the photo
    assert all(h.top >= 0 <= h.left and max(h.top, h.left) + h.side <= 8 for h in every)


def test_a_hint_is_the_mean_color_and_the_first_one_counts():
    ab = np.random.default_rng(1).normal(size=(8, 8, 2)).astype(np.float32)
    hint_ab, order = hints.reveal(ab, [HintSquare(1, 1, 3), HintSquare(2, 2, 4)])
    np.testing.assert_allclose(hint_ab[3, 3], ab[1:4, 1:4].mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(hint_ab[5, 5], ab[2:6, 2:6].mean((0, 1)), rtol=1e-5)
    assert (order[1:4, 1:4] == 0).all()
    assert (order == 1).sum() == 16 - 4
    assert not hint_ab[order[..., 0] == hints.NO_HINT].any()


def test_no_hint_is_all_zero():
    hint_ab, order = hints.reveal(np.ones((8, 8, 2), np.float32), [])
    assert not hint_ab.any()
    assert (order == hints.NO_HINT).all()


def data_of(photos, **changes):
    data = zhang17.get_config("size=32").data
    data.update(path=str(photos), **changes)
    return data


def first_batch(photos, **changes):
    source = FolderSource.open(photos, labels="none")
    batches = pipeline.train_batches(source, data_of(photos, **changes), seed=0, batch_size=8)
    batch = next(batches)
    batches.close()
    return batch


def test_training_batches_hold_hints_of_the_true_colors(photos):
    host, device = (first_batch(photos, targets=where) for where in ("host", "device"))
    assert host["hint_mask"].shape == (8, 32, 32, 1)
    assert set(np.unique(host["hint_mask"])) == {0.0, 1.0}
    np.testing.assert_array_equal(host["hint_ab"], device["hint_ab"])
    np.testing.assert_array_equal(host["hint_mask"], device["hint_mask"])
    is_hint = host["hint_mask"][..., 0] > 0
    # A hint is a mean over at most 9 x 9 pixels of smooth photos: close to the color below it.
    off = np.linalg.norm(host["hint_ab"] - host["ab"], axis=-1)[is_hint]
    assert np.median(off) < 0.1 < np.median(np.linalg.norm(host["ab"], axis=-1))
    truth = color.rgb_u8_to_lab(device["rgb"])[..., 1:] / 110
    np.testing.assert_allclose(truth, host["ab"], atol=1e-5)


def test_hints_do_not_change_what_is_drawn_for_the_photo(photos):
    with_hints, without = (first_batch(photos, hints=on) for on in (True, False))
    np.testing.assert_array_equal(with_hints["gray"], without["gray"])
    assert "hint_ab" not in without


def test_workers_draw_the_same(photos):
    own, workers = (first_batch(photos, num_workers=n) for n in (0, 1))
    again = first_batch(photos, num_workers=0)
    for name in ("hint_ab", "hint_mask"):
        np.testing.assert_array_equal(own[name], workers[name])
        np.testing.assert_array_equal(own[name], again[name])


def test_evaluation_has_the_same_hundred_hints_for_a_photo_each_time(photos):
    source = FolderSource.open(photos, labels="none")
    whole = next(
        pipeline.eval_batches(source, data_of(photos), batch_size=40, hint_places="uniform")
    )
    again = next(
        pipeline.eval_batches(source, data_of(photos), batch_size=8, hint_places="uniform")
    )
    np.testing.assert_array_equal(whole["hint_order"][:8], again["hint_order"])
    np.testing.assert_array_equal(whole["hint_ab"][:8], again["hint_ab"])
    covered = [(whole["hint_order"] < n).mean() for n in (0, 1, 10, 100)]
    # A hint of 6/256 of 32 px is one pixel.
    assert covered[:2] == [0, pytest.approx(1 / 1024)]
    assert 5 / 1024 < covered[2] <= 10 / 1024 < 80 / 1024 < covered[3] < 100 / 1024


@pytest.mark.parametrize("changes", [{"hint_stop": 0.0}, {"hint_sides": (0, 3)}])
def test_wrong_fields(changes, photos):
    with pytest.raises(ValueError, match=r"data\.hint_stop must be in"):
        pipeline.check(data_of(photos, **changes))


def test_hints_for_evaluation_are_even_and_six_pixels_at_256():
    drawn = [hints.draw_for_evaluation(np.random.default_rng(n), 256) for n in range(40)]
    assert {(len(some), hint.side) for some in drawn for hint in some} == {(100, 6)}
    corners = np.array([(hint.top, hint.left) for some in drawn for hint in some])
    counts = np.histogram(corners, 5, (0, 251))[0] / corners.size  # the last place is 250
    np.testing.assert_allclose(counts, 1 / 5, atol=0.02)
    assert corners.max() <= 250
    assert drawn[0] != drawn[1]


def test_gaussian_hints_for_evaluation_are_around_the_middle():
    """As `samp='normal'` of the original: normal, a quarter of the room, clipped."""
    drawn = [
        hints.draw_for_evaluation(np.random.default_rng(n), 256, "gaussian") for n in range(40)
    ]
    assert {(len(some), hint.side) for some in drawn for hint in some} == {(100, 6)}
    corners = np.array([(hint.top, hint.left) for some in drawn for hint in some])
    assert (corners.min(), corners.max()) == (0, 250)
    rng = np.random.default_rng(0)
    normal = np.clip(rng.normal((256 - 6 + 1) / 2, (256 - 6 + 1) / 4, 200_000), 0, 250).astype(int)
    quantiles = [0.1, 0.25, 0.5, 0.75, 0.9]
    np.testing.assert_allclose(
        np.quantile(corners, quantiles), np.quantile(normal, quantiles), atol=4
    )
    assert np.std(corners) < 61 < 72 < np.std(np.arange(251))  # of uniform positions


def test_evaluation_batches_place_hints_as_asked(photos):
    source = FolderSource.open(photos, labels="none")
    data = data_of(photos, image_size=128)
    spread = {}
    for places in hints.PLACES:
        batch = next(pipeline.eval_batches(source, data, batch_size=40, hint_places=places))
        rows = np.nonzero(batch["hint_order"][..., 0] < hints.NO_HINT)[1]
        spread[places] = np.std(rows)
    assert spread["gaussian"] < 33 < spread["uniform"]
    assert "hint_ab" not in next(pipeline.eval_batches(source, data, batch_size=4))


def test_more_hints_for_evaluation_hold_the_fewer(photos):
    """A hint that is there among the first n is there, with its color, among more."""
    source = FolderSource.open(photos, labels="none")
    data = data_of(photos, image_size=128)
    batch = next(pipeline.eval_batches(source, data, batch_size=4, hint_places="uniform"))
    order, ab = batch["hint_order"], batch["hint_ab"]
    few, many = order < 5, order < 50
    assert few.sum() < many.sum()
    assert (many | ~few).all()
    truth = color.rgb_u8_to_lab(batch["rgb"])[..., 1:] / 110
    for photo in range(4):
        rows, columns = np.nonzero(order[photo, ..., 0] == 0)  # the first is covered by none
        assert len(rows) == 9  # 3 x 3: 6/256 of 128
        mean = truth[photo, rows, columns].mean(0)
        revealed = ab[photo, rows, columns]
        np.testing.assert_allclose(revealed, np.broadcast_to(mean, revealed.shape), atol=1e-5)
