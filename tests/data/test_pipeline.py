import contextlib
import itertools

import jax
import numpy as np
import pytest
from helpers.synthetic import tiny_config
from skimage.color import rgb2lab

from colorjax.data import pipeline
from colorjax.data.sources.source import FolderSource, Photo
from colorjax.data.targets import TargetEncoder
from colorjax.errors import RequestError

AGED = {"data.aged": 0.5}


@pytest.fixture
def source(photos):
    return FolderSource.open(photos, labels="folder")


def take(number, source, data, **options):
    options = {"seed": 3, "batch_size": 4} | options
    with contextlib.closing(pipeline.train_batches(source, data, **options)) as batches:
        return list(itertools.islice(batches, number))


def assert_equal(actual, expected):
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(source, photos, workers):
    data = tiny_config(photos, **AGED).data
    with_workers = tiny_config(photos, **AGED, **{"data.num_workers": workers}).data
    assert_equal(take(13, source, with_workers), take(13, source, data))


def test_position_is_a_function_of_the_step(source, photos):
    data = tiny_config(photos, **AGED).data
    all_of_them = take(25, source, data)  # two epochs and a half
    assert_equal(take(8, source, data, start_step=17), all_of_them[17:])


def test_two_hosts_share_the_batch_of_one(source, photos):
    data = tiny_config(photos).data
    whole = take(12, source, data)
    shares = [take(12, source, data, host=host, hosts=2) for host in (0, 1)]
    joined = [
        {name: np.concatenate([one[name], other[name]]) for name in one}
        for one, other in zip(*shares, strict=True)
    ]
    assert_equal(joined, whole)


def test_epochs_cover_every_photo_once_in_changing_order(source, photos):
    data = tiny_config(photos, **{"data.crop_scale": (1.0, 1.0), "data.flip": False}).data
    batches = take(20, source, data)
    flat = [row.tobytes() for batch in batches for row in batch["gray"]]
    labels = np.concatenate([batch["label"] for batch in batches])
    assert labels[:40].sum() == labels[40:].sum() == 20
    assert flat[:40] != flat[40:]


def test_another_seed_gives_another_order(source, photos):
    data = tiny_config(photos).data
    one, other = take(1, source, data), take(1, source, data, seed=4)
    assert not np.array_equal(one[0]["gray"], other[0]["gray"])


@pytest.mark.parametrize("saturation", [1.0, 1.8])
def test_device_targets_equal_host_targets(source, photos, saturation):
    changes = {"data.saturation": saturation}
    host = take(3, source, tiny_config(photos, **changes).data)
    data = tiny_config(photos, **changes, **{"data.targets": "device"}).data
    encode = jax.jit(TargetEncoder.from_config(data))
    for expected, batch in zip(host, take(3, source, data), strict=True):
        encoded = encode(batch["rgb"])
        assert batch["rgb"].dtype == np.uint8
        for name, unit in (("gray", 50), ("ab", 110)):
            assert encoded[name].dtype == expected[name].dtype == np.float32
            np.testing.assert_allclose(encoded[name] * unit, expected[name] * unit, atol=1e-3)


def test_targets_are_scikit_images_lab(source, photos):
    data = tiny_config(photos, **{"data.targets": "device"}).data
    rgb = take(1, source, data)[0]["rgb"]
    targets = TargetEncoder()(rgb)
    lab = rgb2lab(rgb)
    np.testing.assert_allclose(targets["gray"][..., 0] * 50 + 50, lab[..., 0], atol=1e-3)
    np.testing.assert_allclose(targets["ab"] * 110, lab[..., 1:], atol=1e-3)


@pytest.mark.parametrize("targets", ["host", "device"])
def test_aging_changes_the_gray_of_a_share_of_the_photos_alone(source, photos, targets):
    def rows_of(share):
        changes = {"data.aged": share, "data.hints": True, "data.targets": targets}
        return take(20, source, tiny_config(photos, **changes).data)

    plain, some, every = (rows_of(share) for share in (0.0, 0.5, 1.0))
    encode = TargetEncoder()
    changed = []
    for one, half, whole in zip(plain, some, every, strict=True):
        clean = one.pop("gray") if targets == "host" else encode(one["rgb"])["gray"]
        seen, aged = half.pop("gray"), whole.pop("gray")
        assert_equal([half, whole], [one, one])
        for gray in (seen, aged):
            assert (gray.dtype, gray.shape) == (np.float32, (4, 32, 32, 1))
            assert np.abs(gray).max() <= 1
        differs = (seen != clean).any(axis=(1, 2, 3))
        np.testing.assert_array_equal(seen[~differs], clean[~differs])
        np.testing.assert_array_equal(seen[differs], aged[differs])
        assert (aged != clean).any(axis=(1, 2, 3)).all()
        changed.extend(differs)
    assert {"host": "ab", "device": "rgb"}[targets] in plain[0]
    assert 0.3 < np.mean(changed) < 0.7


def test_aged_gray_is_the_same_on_host_and_device(source, photos):
    batches = [
        take(3, source, tiny_config(photos, **AGED, **{"data.targets": targets}).data)
        for targets in ("host", "device")
    ]
    for host, device in zip(*batches, strict=True):
        np.testing.assert_array_equal(host["gray"], device["gray"])


def test_a_share_is_from_0_to_1(photos):
    with pytest.raises(RequestError, match=r"data\.aged must be a share from 0 to 1, not 1.5"):
        pipeline.check(tiny_config(photos, **{"data.aged": 1.5}).data)


class Damaged:
    """A source in which some photos cannot be read."""

    def __init__(self, source, bad):
        self._source, self._bad = source, bad
        self.keys, self.class_names = source.keys, source.class_names

    def __len__(self):
        return len(self._source)

    def __getitem__(self, index):
        if index in self._bad:
            return Photo(b"broken", 0)
        return self._source[index]


def test_a_bad_photo_gives_its_place_to_another(source, photos):
    data = tiny_config(photos).data
    whole = take(10, source, data)
    damaged = take(10, Damaged(source, {3, 17}), data)
    skipped = [pipeline.numbers_of(batch["skipped"]) for batch in damaged]
    assert sorted(itertools.chain(*skipped)) == [3, 17]
    changed = [
        (step, row)
        for step in range(10)
        for row in range(4)
        if not np.array_equal(whole[step]["gray"][row], damaged[step]["gray"][row])
    ]
    assert len(changed) == 2  # the other 38 rows have not moved
    assert_equal(take(4, Damaged(source, {3, 17}), data, start_step=6), damaged[6:])


def test_a_folder_of_bad_photos_says_so(source, photos):
    with pytest.raises(RequestError, match="consecutive photos cannot be read"):
        take(1, Damaged(source, set(range(40))), tiny_config(photos).data)


def test_evaluation_covers_everything_once_and_masks_the_rest(source, photos):
    data = tiny_config(photos).data
    with contextlib.closing(
        pipeline.eval_batches(Damaged(source, {5}), data, batch_size=12)
    ) as batches:
        elements = list(batches)
    assert [batch["rgb"].shape for batch in elements] == [(12, 32, 32, 3)] * 4
    mask = np.concatenate([batch["mask"] for batch in elements])
    assert mask.sum() == 39
    np.testing.assert_array_equal(np.flatnonzero(mask == 0), [5, *range(40, 48)])
    assert [n for batch in elements for n in pipeline.numbers_of(batch["skipped"])] == [5]
    labels = np.concatenate([batch["label"] for batch in elements])
    np.testing.assert_array_equal(labels[mask > 0], np.delete(source.labels(), 5))
