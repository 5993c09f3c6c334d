import io
import os

import numpy as np
import pytest
from helpers.synthetic import synthetic_images
from PIL import Image

from colorjax.data.prepare import prepare
from colorjax.data.sources import source as sources
from colorjax.data.sources.records import ArrayRecordSource
from colorjax.data.sources.source import FolderSource, Photo, SamplePhotos
from colorjax.data.sources.tfds import TfdsSource, overlap
from colorjax.errors import RequestError


def test_folder_lists_photos_at_any_depth_in_order(photos):
    source = FolderSource.open(photos, labels="folder")
    assert len(source) == 40
    assert list(source.keys) == sorted(source.keys)
    assert source.class_names == ("beach", "forest")
    assert source[0].image == (photos / source.keys[0]).read_bytes()
    assert source[0].label == 0
    np.testing.assert_array_equal(source.labels(), [0] * 20 + [1] * 20)


def test_links_that_lead_back_up_are_followed_once(photos, tmp_path):
    (tmp_path / "photos").symlink_to(photos)
    (tmp_path / "again").symlink_to(tmp_path)
    assert len(FolderSource.open(tmp_path, labels="none")) == 40


class Failing:
    def __init__(self, errors):
        self.errors = list(errors)

    def __getitem__(self, index):
        if self.errors:
            raise self.errors.pop(0)
        return Photo(b"whole", index)


def test_a_disk_that_fails_in_passing_is_asked_again(monkeypatch):
    monkeypatch.setattr(sources, "_PAUSES", (0, 0))
    assert sources.read(Failing([OSError(5, "I/O error")] * 2), 7) == (b"whole", 7)
    with pytest.raises(OSError, match="I/O error"):
        sources.read(Failing([OSError(5, "I/O error")] * 3), 7)
    with pytest.raises(FileNotFoundError):
        sources.read(Failing([FileNotFoundError()]), 7)


def test_folder_without_labels(photos):
    source = FolderSource.open(photos, labels="none")
    assert source.class_names == ()
    assert source[3].label == -1


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: "", "data.path is empty"),
        (lambda path: path / "nowhere", "does not exist"),
        (lambda path: path / "file", "is not a folder"),
        (lambda path: path / "empty", "no photos in"),
    ],
)
def test_folder_says_what_is_wrong(tmp_path, make, says):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("x")
    with pytest.raises(RequestError, match=says):
        FolderSource.open(make(tmp_path), labels="folder")


def test_a_folder_has_another_fingerprint_once_a_photo_changes(tmp_path):
    (tmp_path / "photos").mkdir()
    first, second = tmp_path / "photos" / "a.png", tmp_path / "photos" / "b.png"
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    os.utime(first, ns=(0, 1_000))

    def fingerprint(root=tmp_path / "photos"):
        return FolderSource.open(root, labels="none").fingerprint()

    seen = [fingerprint()]
    assert fingerprint() == seen[0]
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    assert fingerprint(tmp_path / "link") == seen[0]
    os.utime(first, ns=(0, 1_001))
    seen.append(fingerprint())
    first.write_bytes(b"three")
    os.utime(first, ns=(0, 1_001))
    seen.append(fingerprint())
    second.rename(second.with_name("c.png"))
    seen.append(fingerprint())
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    seen.append(fingerprint(tmp_path / "elsewhere"))
    source = FolderSource.open(tmp_path / "elsewhere", labels="none")
    (tmp_path / "elsewhere" / "c.png").unlink()  # while a run is starting
    seen.append(source.fingerprint())
    assert len({*seen}) == 6
    assert all(len(fingerprint) == 64 for fingerprint in seen)


def test_shards_have_another_fingerprint_once_one_changes(photos, tmp_path):
    shards = prepare(photos, tmp_path / "shards", num_shards=2, jobs=1).paths
    before = ArrayRecordSource(tmp_path / "shards").fingerprint()
    assert ArrayRecordSource(tmp_path / "shards").fingerprint() == before
    assert ArrayRecordSource(shards[0]).fingerprint() != before
    os.utime(shards[1], ns=(0, 0))
    assert ArrayRecordSource(tmp_path / "shards").fingerprint() != before


def test_sample_photos_have_a_fingerprint_of_their_version(monkeypatch):
    parts = {SamplePhotos(name).fingerprint() for name in ("train", "validation", "eval")}
    assert len(parts) == 3
    assert SamplePhotos("train").fingerprint() in parts
    monkeypatch.setattr("skimage.__version__", "0")
    assert SamplePhotos("train").fingerprint() not in parts


def test_sample_photos_are_kept_apart():
    parts = {name: SamplePhotos(name) for name in ("train", "validation", "eval")}
    names = [{key.split(":")[0] for key in part.keys} for part in parts.values()]
    assert not names[0] & names[1]
    assert not names[0] & names[2]
    assert not names[1] & names[2]
    assert len(parts["eval"]) >= 4
    assert parts["eval"][0].image.shape == (150, 150, 3)


TFDS_STAND_INS = {
    "cifar10": (32, "test"),
    "imagenet2012": (50, "validation"),
    "imagenet_resized/32x32": (32, "validation"),
    "imagenet_resized/64x64": (64, "validation"),
    "places365_small": (40, "validation"),
}


def make_tfds_stand_in(name, size, data_dir, files):
    """Prepares a tiny data set with the name, version and features of the real one."""
    import tensorflow_datasets as tfds

    real = tfds.builder(name, data_dir=data_dir)
    paths = []
    for index, image in enumerate(synthetic_images(6, size)):
        paths.append(files / f"{index}.{'png' if 'cifar' in name or 'resized' in name else 'jpeg'}")
        Image.fromarray(image).save(paths[-1])
    held = TFDS_STAND_INS[name][1]

    class StandIn(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = real.version
        BUILDER_CONFIGS = [real.builder_config] if real.builder_config else []
        pkg_dir_path = files

        def _info(self):
            features = dict(real.info.features.items())
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, manager):
            return {"train": self._examples(4), held: self._examples(2)}

        def _generate_examples(self):
            raise AssertionError("unused")

        def _examples(self, number):
            extra = {k: "x" for k in real.info.features if k not in ("image", "label")}
            for index in range(number):
                yield index, {"image": str(paths[index]), "label": index, **extra}

    StandIn.name = real.name
    config = real.builder_config.name if real.builder_config else None
    StandIn(data_dir=data_dir, config=config, file_format="array_record").download_and_prepare()


@pytest.mark.parametrize("name", TFDS_STAND_INS)
def test_tfds_by_name(name, tmp_path):
    size, held = TFDS_STAND_INS[name]
    data_dir, files = tmp_path / "tfds", tmp_path / "files"
    files.mkdir()
    make_tfds_stand_in(name, size, str(data_dir), files)
    train = TfdsSource(name, "train", str(data_dir))
    assert len(train) == 4
    assert sorted(train[index].label for index in range(4)) == [0, 1, 2, 3]
    with Image.open(io.BytesIO(train[0].image)) as image:
        assert image.size == (size, size)
    assert len(TfdsSource(name, held, str(data_dir))) == 2
    assert len(TfdsSource(name, "train[:3]", str(data_dir))) == 3
    assert len(train.class_names) in (10, 365, 1000)
    first, last, whole = (
        TfdsSource(name, split, str(data_dir)) for split in ("train[:2]", "train[-2:]", "train")
    )
    assert not overlap(first, last)
    assert overlap(first, whole)
    assert len({part.fingerprint() for part in (first, last, whole)}) == 3
    assert whole.fingerprint() == train.fingerprint()
    assert TfdsSource(name, "train[:4]", str(data_dir)).fingerprint() == train.fingerprint()
    assert not overlap(whole, TfdsSource(name, held, str(data_dir)))
    assert TfdsSource(name, "train", str(data_dir), with_labels=False)[0].label == -1
    with pytest.raises(RequestError, match="no split 'nope'"):
        TfdsSource(name, "nope", str(data_dir))


def test_tfds_says_what_is_wrong(tmp_path):
    with pytest.raises(RequestError, match="TFDS has no data set 'cifar11'"):
        TfdsSource("cifar11", "train", str(tmp_path))
    with pytest.raises(RequestError, match="is not prepared"):
        TfdsSource("cifar10", "train", str(tmp_path))
