import numpy as np
import pytest
from synthetic import tiny_config

from colorjax.data import splits
from colorjax.data.sources import FolderSource
from colorjax.errors import RequestError


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
    found = {
        splits.Subset(source, np.array(places)).fingerprint()
        for places in ([0, 1], [1, 0], [0], [0, 1, 2])
    }
    assert len(found) == 4
    assert source.fingerprint() not in found
    other = splits.Subset(FolderSource.open(photos / "forest", labels="none"), np.array([0, 1]))
    assert other.fingerprint() not in found
    same = splits.Subset(source, np.array([0, 1], np.int32))
    assert same.fingerprint() in found


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
    with pytest.raises(RequestError, match="known: array_record, folder, sample_photos, tfds:NAME"):
        splits.open_splits(tiny_config(photos, **{"data.name": "zip"}).data)


def test_nothing_left_to_train_on(photos):
    with pytest.raises(RequestError, match=r"lower data\.eval_fraction"):
        splits.open_splits(tiny_config(photos, **{"data.eval_fraction": 1.0}).data)
