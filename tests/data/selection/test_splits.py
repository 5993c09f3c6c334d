import logging
import re

import numpy as np
import pytest
from helpers.synthetic import Arrays, tiny_config
from PIL import Image
from skimage.color import rgb2hsv

from colorjax.data.selection import splits
from colorjax.data.sources.source import FolderSource
from colorjax.errors import RequestError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_parts_are_disjoint_and_whole(photos):
    parts = splits.open_splits(tiny_config(photos).data)
    keys = [set(part.keys) for part in parts]
    assert all(keys)
    assert not keys[0] & keys[1]
    assert not keys[0] & keys[2]
    assert not keys[1] & keys[2]
    assert len(set.union(*keys)) == 40


def test_a_photo_keeps_its_part_when_others_come_and_go(photos):
    source = FolderSource.open(photos, labels="none")
    kept, held = splits.hold_out(source, 0.0, 0.3)
    fewer = splits.Subset(source, np.arange(0, 40, 3))
    kept_of_fewer, held_of_fewer = splits.hold_out(fewer, 0.0, 0.3)
    assert set(kept_of_fewer.keys) <= set(kept.keys)
    assert set(held_of_fewer.keys) <= set(held.keys)


def test_the_fingerprint_of_a_subset_is_of_its_photos_and_their_order(photos):
    source = FolderSource.open(photos, labels="none")
    fingerprints = {
        splits.Subset(source, np.array(indices)).fingerprint()
        for indices in ([0, 1], [1, 0], [0], [0, 1, 2])
    }
    assert len(fingerprints) == 4
    assert source.fingerprint() not in fingerprints
    other = splits.Subset(FolderSource.open(photos / "forest", labels="none"), np.array([0, 1]))
    assert other.fingerprint() not in fingerprints
    same = splits.Subset(source, np.array([0, 1], np.int32))
    assert same.fingerprint() in fingerprints


def test_eval_path_is_reported_whole_and_validation_comes_from_training(photos, tmp_path):
    other = tmp_path / "other"
    (other / "forest").mkdir(parents=True)
    first = next(iter(sorted((photos / "forest").iterdir())))
    (other / "forest" / "new.png").write_bytes(first.read_bytes())
    parts = splits.open_splits(tiny_config(photos, **{"data.eval_path": str(other)}).data)
    assert list(parts.eval.keys) == ["forest/new.png"]
    assert parts.eval[0].label == 1  # numbered by the training folder's classes
    assert len(parts.train) + len(parts.validation) == 40
    assert not set(parts.train.keys) & set(parts.validation.keys)


def test_overlapping_paths_are_refused(photos):
    for path in (photos, photos / "forest", photos.parent):
        with pytest.raises(RequestError, match="share photos"):
            splits.open_splits(tiny_config(photos, **{"data.eval_path": str(path)}).data)


def test_classes_and_limit(photos):
    only = splits.open_splits(tiny_config(photos, **{"data.classes": ("forest",)}).data)
    assert all(key.startswith("forest/") for part in only for key in part.keys)
    assert sum(len(part) for part in only) == 20
    few = splits.open_splits(tiny_config(photos, **{"data.limit": 5}).data)
    assert len(few.train) == 5
    with pytest.raises(RequestError, match="known: beach, forest"):
        splits.open_splits(tiny_config(photos, **{"data.classes": ("sea",)}).data)


def test_photos_to_report_without_a_wanted_class_are_not_replaced_by_others(photos, tmp_path):
    other = tmp_path / "other" / "forest"
    other.mkdir(parents=True)
    (other / "new.png").write_bytes((photos / "forest" / "01.png").read_bytes())
    changes = {"data.eval_path": str(other.parent), "data.classes": ("beach",)}
    parts = splits.open_splits(tiny_config(photos, **changes).data)
    assert len(parts.eval) == 0
    assert len(parts.train) + len(parts.validation) == 20


def test_unknown_name_lists_the_known(photos):
    with pytest.raises(RequestError, match="known: array_record, cifar10, folder, sample"):
        splits.open_splits(tiny_config(photos, **{"data.name": "zip"}).data)


def test_nothing_left_to_train_on(photos):
    with pytest.raises(RequestError, match=r"lower data\.eval_fraction"):
        splits.open_splits(tiny_config(photos, **{"data.eval_fraction": 1.0}).data)


def opened(monkeypatch, source, **changes):
    """The parts of a source in memory: nothing is held out to report on, a tenth to choose by."""
    monkeypatch.setattr(splits, "_opener", lambda data: lambda *args: source)
    fields = {"eval_fraction": 0.0, "validation_fraction": 0.1} | changes
    config = tiny_config("", **{f"data.{name}": value for name, value in fields.items()})
    return splits.open_splits(config.data), config.data


def test_random_split_is_the_originals():
    """numpy.random.seed(24), a permutation, its first 10 % choose: 5,000 of 50,000."""
    train, validation = splits.random_split(50_000, 0.1, 24)
    np.random.seed(24)  # noqa: NPY002
    wanted = np.random.permutation(50_000)  # noqa: NPY002
    assert len(validation) == 5_000
    assert validation.tolist() == sorted(wanted[:5_000].tolist())
    assert train.tolist() == sorted(wanted[5_000:].tolist())
    assert train.dtype == validation.dtype == np.int64
    again = splits.random_split(50_000, 0.1, 24)
    np.testing.assert_array_equal(again[1], validation)
    assert splits.random_split(50_000, 0.1, 25)[1].tolist() != validation.tolist()
    assert [len(part) for part in splits.random_split(100, 0.29)] == [71, 29]
    assert [len(part) for part in splits.random_split(5, 0.0)] == [5, 0]


def slow_hue_split(hues, every, drop):
    """The original's smart split, photo by photo."""
    ranked = sorted(range(len(hues)), key=lambda number: (hues[number], number))[drop:]
    held = [number for rank, number in enumerate(ranked) if rank % every == 0]
    return sorted(set(ranked) - set(held)), sorted(held)


def test_hue_balanced_split_has_the_originals_counts():
    """50,000 - 582 = 49,418: 4,942 choose, 44,476 train."""
    hues = np.random.default_rng(0).random(50_000)
    hues[::100] = 0.0  # 500 of equal hue
    train, validation = splits.hue_balanced_split(hues, 10, 582)
    assert (len(train), len(validation)) == (44_476, 4_942)
    assert train.dtype == validation.dtype == np.int64
    wanted = slow_hue_split(hues.tolist(), 10, 582)
    assert (train.tolist(), validation.tolist()) == wanted
    dropped = np.setdiff1d(np.arange(50_000), np.concatenate([train, validation]))
    assert len(dropped) == 582
    assert hues[dropped].max() <= hues[validation].min()


@pytest.mark.parametrize(("every", "drop"), [(2, 0), (3, 5), (10, 0), (7, 39), (50, 0)])
def test_hue_balanced_split_of_few(every, drop):
    hues = np.round(np.random.default_rng(every).random(40), 1)  # many ties
    train, validation = splits.hue_balanced_split(hues, every, drop)
    assert (train.tolist(), validation.tolist()) == slow_hue_split(hues.tolist(), every, drop)


def test_every_kth_photo_in_the_order_of_hue():
    hues = np.array([0.9, 0.1, 0.5, np.nan, 0.3, 0.7])  # in order: 1 4 2 5 0; 3 is unreadable
    assert [part.tolist() for part in splits.hue_balanced_split(hues, 2)] == [[3, 4, 5], [0, 1, 2]]
    assert [part.tolist() for part in splits.hue_balanced_split(hues, 2, 1)] == [
        [0, 2, 3],
        [4, 5],
    ]
    assert [part.tolist() for part in splits.hue_balanced_split(hues, 0)] == [
        [0, 1, 2, 3, 4, 5],
        [],
    ]
    for drop in (-1, 5):
        with pytest.raises(
            RequestError, match=rf"drop_lowest_hue must be from 0 to 4 with 5 photos, not {drop}"
        ):
            splits.hue_balanced_split(hues, 2, drop)


def test_exactly_gray_photos_leave_before_the_hue_split(monkeypatch):
    """582 of 50,000 photos of 32x32 are gray; what is measured is tested with the color filter."""
    photos = np.empty((50_000, 1, 1, 3), np.uint8)
    photos[:] = np.random.default_rng(1).integers(0, 256, photos.shape)
    gray = np.random.default_rng(2).permutation(50_000)[:582]
    photos[gray] = photos[gray, ..., :1]
    photos[np.setdiff1d(np.arange(50_000), gray), ..., 0] |= 1  # R is odd and G even:
    photos[np.setdiff1d(np.arange(50_000), gray), ..., 1] &= 254  # nothing else is gray
    whole = np.broadcast_to(photos, (50_000, 32, 32, 3))
    hues = rgb2hsv(photos)[:, 0, 0, 0]
    is_gray = (photos == photos[..., :1]).all((1, 2, 3))
    assert is_gray.sum() == 582
    monkeypatch.setattr(splits, "find_colored", lambda source, **_: np.flatnonzero(~is_gray))
    monkeypatch.setattr(splits, "find_hues", lambda source, mean: hues[source.indices])
    parts, _ = opened(monkeypatch, Arrays(whole), validation="hue", drop_grey=True)
    numbers = splits.indices(parts)
    assert (len(parts.train), len(parts.validation)) == (44_476, 4_942)
    assert not np.isin(gray, np.concatenate([numbers["train"], numbers["validation"]])).any()
    kept = np.flatnonzero(~is_gray)
    train, validation = slow_hue_split(hues[kept].tolist(), 10, 0)
    assert numbers["train"].tolist() == kept[train].tolist()
    assert numbers["validation"].tolist() == kept[validation].tolist()


def flat_photos(number, grays=()):
    """Photos of one color and a few shades, of rising hue, in a mixed order; some are grey."""
    order = np.random.default_rng(7).permutation(number)
    hues = (order + 0.5) / number * 5 / 6
    sixth, along = np.divmod(hues * 6, 1)
    rise, fall = 255 * along, 255 * (1 - along)
    full, none = np.full(number, 255.0), np.zeros(number)
    wheel = [
        (full, rise, none),
        (fall, full, none),
        (none, full, rise),
        (none, fall, full),
        (rise, none, full),
    ]
    rgb = np.select([(sixth == at)[:, None] for at in range(5)], [np.stack(c, 1) for c in wheel])
    photos = np.repeat(np.round(rgb).astype(np.uint8), 64, axis=0).reshape(number, 8, 8, 3).copy()
    photos[list(grays)] = 90
    return photos


@pytest.mark.parametrize("mean", ["arithmetic", "circular"])
def test_hue_split_of_measured_photos(mean, monkeypatch, caplog):
    """Of 80 photos 4 are gray, and 3 of the lowest hue leave: 73, of which 8 choose."""
    caplog.set_level(logging.INFO, "colorjax")
    photos = flat_photos(80, grays=(5, 17, 40, 79))
    changes = {"validation": "hue", "drop_grey": True, "drop_lowest_hue": 3, "hue_mean": mean}
    parts, data = opened(monkeypatch, Arrays(photos), **changes)
    numbers = splits.indices(parts)
    hues = rgb2hsv(photos)[:, 0, 0, 0]
    kept = np.array([number for number in range(80) if number not in (5, 17, 40, 79)])
    train, validation = slow_hue_split(hues[kept].tolist(), 10, 3)
    assert numbers["train"].tolist() == kept[train].tolist()
    assert numbers["validation"].tolist() == kept[validation].tolist()
    assert (len(train), len(validation)) == (65, 8)
    assert list(parts.train.keys) == [str(number) for number in numbers["train"]]
    assert caplog.records[-1].message == (
        "80 photos, data.validation=hue: 65 for training, 8 for validation"
    )
    again, _ = opened(monkeypatch, Arrays(photos), **changes)
    assert list(again.validation.keys) == list(parts.validation.keys)
    picture = splits.hue_histograms(parts, data)
    assert isinstance(picture, Image.Image)


def test_circular_and_arithmetic_means_split_otherwise(monkeypatch):
    photos = np.random.default_rng(3).integers(0, 256, (60, 8, 8, 3), np.uint8)
    held = {
        mean: splits.indices(
            opened(monkeypatch, Arrays(photos), validation="hue", hue_mean=mean)[0]
        )["validation"].tolist()
        for mean in ("arithmetic", "circular")
    }
    hues = rgb2hsv(photos)[..., 0].mean((1, 2))
    assert held["arithmetic"] == slow_hue_split(hues.tolist(), 10, 0)[1]
    assert held["circular"] != held["arithmetic"]


def test_random_split_of_a_config(monkeypatch):
    photos = flat_photos(50, grays=(3, 30))
    parts, _ = opened(monkeypatch, Arrays(photos), validation="random", drop_grey=True)
    numbers = splits.indices(parts)
    kept = np.array([number for number in range(50) if number not in (3, 30)])
    order = np.random.RandomState(24).permutation(48)
    assert numbers["validation"].tolist() == sorted(kept[order[:5]].tolist())
    assert numbers["train"].tolist() == sorted(kept[order[5:]].tolist())
    other, _ = opened(monkeypatch, Arrays(photos), validation="random", split_seed=0)
    order = np.random.RandomState(0).permutation(50)
    assert splits.indices(other)["validation"].tolist() == sorted(order[:5].tolist())


@pytest.mark.parametrize("way", ["random", "hue"])
def test_photos_to_report_on_stay_whole_and_the_same(way, monkeypatch):
    source = Arrays(flat_photos(200, grays=range(0, 200, 2)))
    before, _ = opened(monkeypatch, source, eval_fraction=0.2)
    changes = {"eval_fraction": 0.2, "validation": way, "drop_grey": True, "limit": 20}
    parts, data = opened(monkeypatch, source, **changes)
    assert list(parts.eval.keys) == list(before.eval.keys)
    numbers = splits.indices(parts)
    assert (numbers["eval"] % 2 == 0).any()
    assert (numbers["train"] % 2 == 1).all()
    assert (numbers["validation"] % 2 == 1).all()
    assert len(parts.train) == 20  # after the split, from more
    assert len(set(np.concatenate(list(numbers.values())))) == sum(map(len, numbers.values()))
    assert splits.hue_histograms(parts, data) is not None  # of a limited part too


def test_histograms_of_the_very_photos(monkeypatch):
    seen = []
    monkeypatch.setattr(
        splits.hues, "histograms", lambda *hues, caption: seen.append((hues, caption))
    )
    photos = flat_photos(60, grays=(2, 9))
    changes = {"validation": "random", "drop_grey": True, "limit": 30}
    parts, data = opened(monkeypatch, Arrays(photos), **changes)
    splits.hue_histograms(parts, data)
    hues, numbers = rgb2hsv(photos)[:, 0, 0, 0], splits.indices(parts)
    ((train, validation), caption) = seen[0]
    np.testing.assert_allclose(train, hues[numbers["train"]], atol=1e-9)
    np.testing.assert_allclose(validation, hues[numbers["validation"]], atol=1e-9)
    assert caption == "arithmetic mean hue of a photo; data.validation=random"


def test_indices_through_nested_subsets(photos):
    source = FolderSource.open(photos, labels="none")
    parts = splits.open_splits(
        tiny_config(photos, **{"data.classes": ("forest",), "data.limit": 5}).data
    )
    for part, numbers in zip(parts, splits.indices(parts).values(), strict=True):
        assert numbers.dtype == np.int64
        assert [source.keys[number] for number in numbers] == list(part.keys)
    assert len(splits.indices(parts)["train"]) == 5
    whole = splits.Splits(source, source, source)
    np.testing.assert_array_equal(splits.indices(whole)["eval"], np.arange(40))


def test_by_hash_there_are_no_histograms_and_nothing_is_measured(photos, monkeypatch):
    monkeypatch.setattr(splits, "find_hues", None)
    data = tiny_config(photos).data
    assert splits.hue_histograms(splits.open_splits(data), data) is None


@pytest.mark.parametrize("way", ["random", "hue"])
def test_sample_photos_have_parts_of_their_own(way):
    data = tiny_config("", **{"data.name": "sample_photos", "data.validation": way}).data
    parts = splits.open_splits(data)
    assert list(parts.train.keys) == list(splits.SamplePhotos.PHOTOS["train"])
    assert splits.hue_histograms(parts, data) is None
    assert [len(numbers) for numbers in splits.indices(parts).values()] == list(map(len, parts))


def test_configs_of_older_versions_lack_the_fields(photos):
    config = tiny_config(photos)
    before = splits.open_splits(config.data)
    with config.unlocked():
        for name in ("validation", "split_seed", "hue_mean", "drop_lowest_hue", "verify"):
            del config.data[name]
    after = splits.open_splits(config.data)
    assert [list(part.keys) for part in after] == [list(part.keys) for part in before]
    assert splits.hue_histograms(after, config.data) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"validation": "half"}, "unknown data.validation = 'half'; known: hash, hue, random"),
        ({"hue_mean": "mode"}, "unknown data.hue_mean = 'mode'; known: arithmetic, circular"),
        (
            {"drop_lowest_hue": 582},
            "data.drop_lowest_hue needs data.validation=hue; set that, or "
            "data.drop_lowest_hue=0 and data.drop_grey=True",
        ),
        (
            {"drop_lowest_hue": 582, "validation": "random"},
            "data.drop_lowest_hue needs data.validation=hue",
        ),
        (
            {"drop_lowest_hue": 582, "validation": "hue"},
            "data.drop_lowest_hue must be from 0 to LAST with NUMBER photos, not 582",
        ),
        (
            {"validation_fraction": 0.6, "validation": "hue"},
            "data.validation_fraction must be from 0 to 0.5, not 0.6",
        ),
        (
            {"validation_fraction": -0.1, "validation": "random"},
            "data.validation_fraction must be from 0 to 0.5, not -0.1",
        ),
    ],
)
def test_requests_that_mean_nothing(changes, says, photos):
    data = tiny_config(photos, **{f"data.{name}": value for name, value in changes.items()}).data
    pattern = re.escape(says).replace("LAST", r"\d+").replace("NUMBER", r"\d+")
    with pytest.raises(RequestError, match=pattern):
        splits.open_splits(data)


@pytest.mark.parametrize("way", ["random", "hue"])
def test_no_share_to_choose_by(way, photos):
    changes = {"data.validation": way, "data.validation_fraction": 0.0}
    parts = splits.open_splits(tiny_config(photos, **changes).data)
    assert len(parts.validation) == 0
    assert len(parts.train) + len(parts.eval) == 40
