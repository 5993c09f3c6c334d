import io
import os
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.synthetic import synthetic_images
from PIL import Image
from scipy.spatial import KDTree
from skimage.color import rgb2lab

from colorjax import color
from colorjax.data import prior
from colorjax.data.selection import parallel_map
from colorjax.data.sources.source import FolderSource, Photo
from colorjax.errors import RequestError

# Of richzhang/colorization, BSD-2-Clause: resources/prior_probs.npy.
PUBLIC = Path(__file__).parents[1] / "color" / "prior_probs.npy"
PHOTOS = synthetic_images(6, 24, seed=3)


@pytest.fixture
def folder(tmp_path):
    for number, photo in enumerate(PHOTOS):
        Image.fromarray(photo).save(tmp_path / f"{number}.png")
    return tmp_path


def counted(folder, **options):
    return prior.count(FolderSource.open(folder, labels="none"), **options)


def wanted(pixels, k=5, sigma=5.0):
    """The mean soft encoding by a KD-tree, in float64."""
    ab = rgb2lab(pixels.reshape(-1, 3))[:, 1:]
    distance, bins = KDTree(color.ab_bins()).query(ab, k)
    weights = np.exp(-(distance**2) / (2 * sigma**2))
    weights /= weights.sum(1, keepdims=True)
    shares = np.bincount(bins.ravel(), weights.ravel(), 313) / len(ab)
    lifted = np.maximum(shares, prior.EPSILON)
    return lifted / lifted.sum(), int((shares < prior.EPSILON).sum())


@pytest.mark.parametrize("worth_processes", [1, 1000], ids=["processes", "threads"])
def test_the_prior_is_the_mean_soft_encoding(worth_processes, folder, monkeypatch):
    monkeypatch.setattr(parallel_map, "_WORTH_PROCESSES", worth_processes)
    counts = []
    result = counted(folder, progress=counts.append)
    shares, empty = wanted(np.stack(PHOTOS))
    np.testing.assert_allclose(result.prior, shares, atol=1e-6)
    assert (result.num_photos, result.num_pixels) == (6, 6 * 24 * 24)
    assert abs(result.num_empty - empty) <= 2  # shares around the limit
    assert sum(counts) == 6


def test_portions_of_photos_and_of_colors_add_up(folder, monkeypatch):
    """Six photos in portions of four, and colors encoded a hundred at a time."""
    monkeypatch.setattr(parallel_map, "_PHOTOS_AT_ONCE", 4)
    monkeypatch.setattr(prior, "_CHUNK", 100)
    assert len(np.unique(np.reshape(PHOTOS, (-1, 3)), axis=0)) > 300
    (folder / "3b.png").write_bytes(b"no photo")
    counts = []
    result = counted(folder, progress=counts.append)
    assert counts == [4, 3]
    assert (result.num_photos, result.num_unreadable) == (6, 1)
    np.testing.assert_allclose(result.prior, wanted(np.stack(PHOTOS))[0], atol=1e-6)


class Endless:
    """Two thousand photos, and how many of them were asked for."""

    keys = tuple(map(str, range(2_000)))
    asked = 0

    def __len__(self):
        return len(self.keys)

    def __getitem__(self, index):
        self.asked += 1
        return Photo(np.full((8, 8, 3), 128, np.uint8), 0)


def test_decoding_does_not_run_far_ahead_of_counting(monkeypatch):
    """What is decoded and not yet counted is in memory: 20 MB for 64 photos of 256 px."""
    monkeypatch.setattr(parallel_map, "_PHOTOS_AT_ONCE", 10)
    source, counted_photos, ahead = Endless(), [], []

    def progress(photos):
        counted_photos.append(photos)
        time.sleep(0.002)
        ahead.append(source.asked - sum(counted_photos))

    assert prior.count(source, progress=progress).num_photos == 2_000
    assert max(ahead) <= 10 * parallel_map._PORTIONS_AHEAD * os.cpu_count()


def test_k_and_sigma(folder):
    shares, _ = wanted(np.stack(PHOTOS), 10, 8.0)
    np.testing.assert_allclose(counted(folder, k=10, sigma=8.0).prior, shares, atol=1e-6)


def test_large_photos_are_shrunk(tmp_path):
    checks = np.zeros((64, 64, 3), np.uint8)
    checks[::2, ::2], checks[1::2, 1::2] = 255, 255  # black and white become gray
    Image.fromarray(checks).save(tmp_path / "a.png")
    assert counted(tmp_path, short_side=32).num_pixels == 32 * 32
    assert counted(tmp_path, short_side=64).num_pixels == 64 * 64


def test_what_is_unusual_is_said(tmp_path):
    Image.fromarray(np.full((16, 16, 3), (200, 30, 30), np.uint8)).save(tmp_path / "red.png")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    result = counted(tmp_path)  # scikit-image: ab = (63.0, 45.2)
    flaws = " | ".join(result.flaws())
    assert "308 of 313 bins are nearly empty" in flaws
    assert "the most frequent bin is ab = (60, 50), not gray" in flaws
    assert "1 photos cannot be read" in flaws
    assert result.prior.min() > 0
    assert np.isfinite(color.rebalancing_weights(result.prior)).all()


def test_nothing_readable(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    with pytest.raises(RequestError, match="none of the photos"):
        counted(tmp_path)


def test_saved_and_loaded(folder, tmp_path):
    result = counted(folder)
    prior.save(tmp_path / "new" / "prior.npz", result, "six photos")
    np.testing.assert_allclose(prior.load(tmp_path / "new" / "prior.npz"), result.prior)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["prior.npz"]
    assert prior.load(str(tmp_path / "new" / "prior.npz")).dtype == np.float64


def test_where_nothing_can_be_written(tmp_path):
    result = prior.Prior(np.full(313, 1 / 313), 1, 0, 1, 0)
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "folder.npz").mkdir()
    for path in ("file/prior.npz", "file/deep/prior.npz", "folder.npz"):
        with pytest.raises(RequestError, match="cannot be written"):
            prior.save(tmp_path / path, result, "nothing")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder.npz"}


def compressed(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


NPZ = compressed(prior=np.random.default_rng(0).dirichlet(np.ones(313)))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot be read"),
        (b"", "is not an NPZ or NPY"),
        (b"no array", "is not an NPZ or NPY"),
        (np.ones(312), "not 313 shares"),
        (np.ones(313, int), "not 313 shares"),
        (np.ones(313), "sum 1"),
        (np.eye(1, 313)[0], "above 0"),
        (np.eye(1, 313)[0] - 1e-9, "above 0"),
        (np.full(313, np.nan), "above 0"),
        (np.array([{}] * 313, dtype=object), "is not an NPZ or NPY"),
        (compressed(other=np.ones(313) / 313), "is not an NPZ or NPY"),
        (compressed(prior=np.ones((313, 1)) / 313), "not 313 shares"),
        (NPZ[:1000], "is not an NPZ or NPY"),
        (NPZ[:200] + bytes(200) + NPZ[400:], "is not an NPZ or NPY"),
        (NPZ[:200] + b"\xff" * 200 + NPZ[400:], "is not an NPZ or NPY"),
    ],
)
def test_files_that_hold_no_prior(content, text, tmp_path):
    path = tmp_path / "prior.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(RequestError, match=text) as caught:
        prior.load(path)
    assert "colorjax prior DATA" in str(caught.value)


def test_the_shipped_prior():
    shares = prior.load("")
    assert (shares.shape, shares.dtype) == ((313,), np.float64)
    assert shares.sum() == pytest.approx(1)
    assert shares.min() > 0
    assert shares.argmax() == color.nearest_bin(np.zeros(2))
    assert "tiny-imagenet-200/train" in str(np.load(prior.SHIPPED)["description"])


def test_the_shipped_prior_is_like_the_published_one():
    """Measured: 0.981, Tiny ImageNet's 100,000 photos against ImageNet's."""
    np.testing.assert_allclose(prior.load(PUBLIC), np.load(PUBLIC), rtol=1e-6)
    logs = np.log([prior.load(""), prior.load(PUBLIC)])
    assert np.corrcoef(logs)[0, 1] > 0.97
