import io
import logging
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers.synthetic import Arrays, synthetic_images, tiny_config
from PIL import Image
from skimage.color import rgb2lab

from colorjax.data.decode import decode_rgb
from colorjax.data.prepare import prepare
from colorjax.data.selection import color_filter, splits
from colorjax.data.sources.records import ArrayRecordSource
from colorjax.data.sources.source import FolderSource
from colorjax.data.sources.subsets import hash_fraction
from colorjax.errors import RequestError

NOISE = np.random.default_rng(5).integers(0, 256, (24, 24), np.uint8)
COLORED = [f"colored{number}.png" for number in range(3)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache folder of this test; whether it is there shows whether it was written."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "colorjax"


@pytest.fixture(autouse=True)
def logged(caplog):
    caplog.set_level(logging.INFO, "colorjax")
    return lambda: [record.message for record in caplog.records]


@pytest.fixture
def folder(tmp_path):
    """Three colored photos, two exactly gray ones, a dull one of chroma 2.41, and no photo."""
    root = tmp_path / "photos"
    root.mkdir()
    for name, rgb in zip(COLORED, synthetic_images(3, 24, seed=3), strict=True):
        Image.fromarray(rgb).save(root / name)
    Image.fromarray(NOISE).save(root / "grey.png")
    Image.fromarray(np.dstack([NOISE] * 3)).save(root / "grey_in_rgb.png")
    Image.fromarray(np.full((24, 24, 3), (100, 100, 104), np.uint8)).save(root / "dull.png")
    (root / "broken.jpg").write_bytes(b"no photo")
    return root


@pytest.fixture
def decoded(monkeypatch):
    """The photos that were decoded so far, one entry for each time."""
    seen = []
    original = color_filter.decode_reduced
    monkeypatch.setattr(
        color_filter, "decode_reduced", lambda *args: seen.append(args[0]) or original(*args)
    )
    return seen


def kept(source, drop_grey=False, min_chroma=0.0):
    if not hasattr(source, "keys"):
        source = FolderSource.open(source, labels="none")
    return list(splits.keep_colored(source, drop_grey=drop_grey, min_chroma=min_chroma).keys)


def test_mean_chroma_is_that_of_scikit_image():
    """At 64 px photos are as they are; above, of the photo shrunk by averaging 2 x 2 pixels."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (64, 80, 3), np.uint8)
    shrunk, off = rng.integers(60, 196, (64, 64, 3)), rng.integers(0, 60, (64, 64, 3))
    large = np.stack([shrunk - off, shrunk + off], axis=2).reshape(64, 128, 3).repeat(2, axis=0)
    large, shrunk = large.astype(np.uint8), shrunk.astype(np.uint8)
    for photo, as_measured in [(small, small), (large, shrunk)]:
        lab = rgb2lab(as_measured)
        chroma = np.hypot(lab[..., 1], lab[..., 2]).mean()
        measured = color_filter._measure(Arrays([photo]), 0, 1)
        assert measured.chroma.dtype == np.float32
        np.testing.assert_allclose(measured.chroma, [chroma], atol=5e-3)
        for limit, number in [(chroma - 0.01, 2), (chroma + 0.01, 1)]:
            colorful = np.full((8, 8, 3), (255, 0, 0), np.uint8)
            source = splits.Subset(Arrays([photo, colorful]), np.arange(2))
            assert len(splits.keep_colored(source, drop_grey=False, min_chroma=limit)) == number


def test_both_limits(folder, logged):
    """The dull photo's chroma by scikit-image is 2.407; gray has none, whatever rounding says."""
    dull = rgb2lab(np.array([[[100, 100, 104]]], np.uint8))[0, 0, 1:]
    assert 2.4 < np.linalg.norm(dull) < 2.41
    with_dull = sorted(["broken.jpg", *COLORED, "dull.png"])
    assert kept(folder, drop_grey=True) == with_dull
    assert kept(folder, drop_grey=True, min_chroma=2.4) == with_dull
    assert kept(folder, drop_grey=True, min_chroma=2.41) == ["broken.jpg", *COLORED]
    assert kept(folder, min_chroma=2.41) == ["broken.jpg", *COLORED]
    assert kept(folder, min_chroma=1e-9) == with_dull
    first, *lines = logged()
    assert first == "measuring the colors of 7 photos, once"
    assert lines == [
        "training photos left out: 2 exactly gray; 5 of 7 remain",
        "training photos left out: 2 exactly gray, 0 with a mean chroma below 2.4; 5 of 7 remain",
        "training photos left out: 2 exactly gray, 1 with a mean chroma below 2.41; 4 of 7 remain",
        "training photos left out: 3 with a mean chroma below 2.41; 4 of 7 remain",
        "training photos left out: 2 with a mean chroma below 1e-09; 5 of 7 remain",
    ]


def test_almost_gray_is_not_gray(monkeypatch):
    """One colored pixel of 512 x 512 is averaged away at 64 px: the whole photo decides."""
    speck, gray = np.full((2, 512, 512, 3), 90, np.uint8)
    speck[300, 200] = (90, 90, 91)
    red, green, blue = (np.full((16, 16, 3), 90, np.uint8) for _ in range(3))
    red[..., 0], green[..., 1], blue[..., 2] = 91, 91, 91
    file = io.BytesIO()
    Image.fromarray(gray).save(file, format="JPEG")
    whole = []
    monkeypatch.setattr(
        color_filter, "decode_rgb", lambda photo: whole.append(photo) or decode_rgb(photo)
    )
    source = splits.Subset(Arrays([gray, speck, file.getvalue(), red, green, blue]), np.arange(6))
    assert kept(source, drop_grey=True) == ["1", "3", "4", "5"]
    assert len(whole) == 3  # who has color at 64 px is not decoded whole


def test_a_file_that_is_gone_stays_for_the_pipeline_to_name(folder):
    source = FolderSource.open(folder, labels="none")
    (folder / "grey.png").unlink()
    assert "grey.png" in kept(source, drop_grey=True)


def test_a_second_look_decodes_nothing(folder, decoded, cache, logged):
    first = kept(folder, True, 3.0)
    assert len(decoded) == 7
    assert kept(folder, True, 3.0) == first
    assert len(kept(folder, drop_grey=True)) == 5
    assert len(decoded) == 7
    assert len(logged()) == 4  # "measuring ..." once, and what is left out each time
    assert len(list(cache.iterdir())) == 1


def test_a_changed_file_is_looked_at_again(folder, decoded):
    kept(folder, drop_grey=True)
    path = folder / "grey.png"
    Image.fromarray(np.full((24, 24, 3), (200, 30, 30), np.uint8)).save(path)
    assert "grey.png" in kept(folder, drop_grey=True)
    assert len(decoded) == 14
    os.utime(path, ns=(0, 0))  # another time of the same bytes: nobody can know
    kept(folder, drop_grey=True)
    assert len(decoded) == 21


def test_part_of_the_photos_is_another_source(folder, decoded):
    source = FolderSource.open(folder, labels="none")
    indices = [source.keys.index("grey.png"), source.keys.index("colored0.png")]
    assert kept(splits.Subset(source, np.array(indices)), drop_grey=True) == ["colored0.png"]
    assert kept(splits.Subset(source, np.array(indices[::-1])), drop_grey=True) == ["colored0.png"]
    assert len(decoded) == 4


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def altered(content, **changes):
    with np.load(io.BytesIO(content)) as file:
        return npz(**(dict(file) | changes))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"no archive",
        lambda content: content[: len(content) // 2],
        lambda content: content[:150] + b"\xff" * 20 + content[170:],
        lambda content: npz(chroma=np.zeros(7, np.float32)),
        lambda content: altered(content, name="of other photos"),
        lambda content: altered(content, chroma=np.zeros(6, np.float32)),
        lambda content: altered(content, chroma=np.zeros((7, 1), np.float32)),
        lambda content: altered(content, chroma=np.zeros(7, np.float64)),
        lambda content: altered(content, is_gray=np.ones(8, bool)),
        lambda content: altered(content, is_gray=np.ones(7, np.int64)),
        lambda content: altered(content, circular=np.zeros(7, np.float32)),
        lambda content: altered(content, arithmetic=np.zeros(8)),
    ],
)
def test_a_damaged_cache_is_written_anew(damage, folder, decoded, cache):
    wanted = kept(folder, True, 3.0)
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert kept(folder, True, 3.0) == wanted
    assert len(decoded) == 14
    assert kept(folder, True, 3.0) == wanted
    assert len(decoded) == 14
    assert list(cache.iterdir()) == [path]


@pytest.mark.parametrize("what", ["file above", "file", "folder instead", "full disk", "no home"])
def test_a_cache_that_cannot_be_written_costs_a_warning(
    what, folder, cache, logged, monkeypatch, caplog
):
    if what == "file above":
        cache.parent.write_text("no folder")
    elif what == "file":
        cache.parent.mkdir()
        cache.write_text("no folder")
    elif what == "folder instead":
        kept(folder, drop_grey=True)
        (path,) = cache.iterdir()
        path.unlink()
        path.mkdir()
        caplog.clear()
    elif what == "full disk":

        def full(*args, **kwargs):
            raise OSError("28 requested and 0 written")

        monkeypatch.setattr(np, "savez", full)
    else:
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)
        monkeypatch.chdir(folder.parent)
    assert len(kept(folder, drop_grey=True)) == 5
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "cannot be cached in" in warnings[0].message
    assert "None" not in warnings[0].message
    assert not list(folder.parent.rglob("*.partial"))
    assert not (folder.parent / "~").exists()


def test_where_the_cache_lies(tmp_path, monkeypatch):
    assert color_filter._cache_folder() == tmp_path / "cache" / "colorjax"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert color_filter._cache_folder() == tmp_path / "home" / ".cache" / "colorjax"


def _save_often(path, name, value):
    values = np.full(5_000, value)
    colors = color_filter._Colors(
        values.astype(np.float32), values > 9, *[values.astype(float)] * 2
    )
    for _ in range(20):
        color_filter._save(path, name, colors)


def test_several_writers_leave_one_whole_file(cache):
    """Threads interleave inside NumPy's writing as processes do."""
    path = cache / "colors.npz"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(_save_often, [path] * 4, ["name"] * 4, range(4)))
    stored = color_filter._load(path, "name", 5_000)
    assert stored is not None
    assert len(np.unique(stored.chroma)) == 1
    assert list(cache.iterdir()) == [path]


def test_one_pass_measures_chroma_grayness_and_hues(folder, decoded):
    source = FolderSource.open(folder, labels="none")
    hues = color_filter.find_hues(source)
    assert len(decoded) == 7
    kept(folder, True, 3.0)
    assert not np.array_equal(hues, color_filter.find_hues(source, "circular"), equal_nan=True)
    assert len(decoded) == 7
    grays = [source.keys.index(name) for name in ("grey.png", "grey_in_rgb.png")]
    assert (hues[grays] == 0).all()
    assert np.flatnonzero(np.isnan(hues)).tolist() == [source.keys.index("broken.jpg")]


def test_no_photo_stays(tmp_path, folder):
    gray = tmp_path / "grey"
    gray.mkdir()
    (gray / "a.png").write_bytes((folder / "grey.png").read_bytes())
    (gray / "b.png").write_bytes((folder / "dull.png").read_bytes())
    with pytest.raises(RequestError) as caught:
        kept(gray, True, 3.0)
    assert str(caught.value) == (
        "none of 2 photos remains for training: 1 exactly gray, 1 with a mean chroma below 3; "
        "set data.drop_grey=False and lower data.min_chroma"
    )
    with pytest.raises(RequestError, match=r"below 3; lower data\.min_chroma$"):
        kept(gray, min_chroma=3.0)
    (gray / "b.png").unlink()
    with pytest.raises(RequestError, match=r"1 exactly gray; set data\.drop_grey=False$"):
        kept(gray, drop_grey=True)


@pytest.mark.parametrize("limit", [-1.0, float("nan"), float("inf")])
def test_limits_that_mean_nothing(limit, folder):
    with pytest.raises(RequestError, match=f"data.min_chroma must be at least 0, not {limit}"):
        kept(folder, min_chroma=limit)


def test_training_alone_is_filtered(folder, photos, decoded):
    """Every photo is gray, but ten: validation and the photos to report on stay whole."""
    for number, path in enumerate(sorted(photos.rglob("*.png"))):
        with Image.open(path) as image:
            mode = "RGB" if number % 4 == 0 else "L"
            image.convert(mode).save(folder / f"{number}.png")
    before = splits.open_splits(tiny_config(folder).data)
    assert not decoded
    changes = {"data.drop_grey": True, "data.min_chroma": 3.0}
    after = splits.open_splits(tiny_config(folder, **changes).data)
    assert list(after.validation.keys) == list(before.validation.keys)
    assert list(after.eval.keys) == list(before.eval.keys)
    gray = {f"{number}.png" for number in range(40) if number % 4}
    gray |= {"grey.png", "grey_in_rgb.png", "dull.png"}
    assert any(key in gray for key in after.validation.keys)
    assert any(key in gray for key in after.eval.keys)
    assert list(after.train.keys) == [key for key in before.train.keys if key not in gray]
    assert 0 < len(after.train) < len(before.train)
    assert len(decoded) == len(before.train)


def test_filtered_after_the_limit(folder):
    changes = {"data.limit": 5, "data.eval_fraction": 0.0, "data.validation_fraction": 0.0}
    whole = splits.open_splits(tiny_config(folder, **changes).data)
    some = splits.open_splits(tiny_config(folder, **changes, **{"data.drop_grey": True}).data)
    assert list(some.train.keys) == [key for key in whole.train.keys if "grey" not in key]


def test_sample_photos_are_filtered_too(decoded):
    """The picture of deep space is the dullest of the five: its chroma is 1.9."""
    config = tiny_config("", **{"data.name": "sample_photos", "data.min_chroma": 6.0})
    parts = splits.open_splits(config.data)
    assert len(decoded) == 5
    assert list(parts.train.keys) == list(splits.SamplePhotos.PHOTOS["train"][:4])
    assert len(parts.validation) == len(splits.SamplePhotos("validation"))


def test_off_reads_nothing(folder, cache, logged, monkeypatch):
    monkeypatch.setattr(FolderSource, "__getitem__", None)
    monkeypatch.setattr(FolderSource, "fingerprint", None)
    source = FolderSource.open(folder, labels="none")
    assert splits.keep_colored(source, drop_grey=False, min_chroma=0.0) is source
    config = tiny_config(folder)
    splits.open_splits(config.data)
    with config.unlocked():
        del config.data.drop_grey, config.data.min_chroma  # as versions before them stored it
    splits.open_splits(config.data)
    assert not cache.exists()
    assert not logged()


def test_low_chroma_photos_stay_at_a_rate(tmp_path, logged):
    """Which of 200 dull photos stay depends on their names, in a folder as in shards."""
    root = tmp_path / "photos"
    root.mkdir()
    for number in range(200):
        Image.new("RGB", (8, 8), (100, 100, 104)).save(root / f"dull{number}.png")
    for number in range(10):
        Image.new("RGB", (8, 8), (200, 100, 50)).save(root / f"red{number}.png")
    Image.new("L", (8, 8), 90).save(root / "grey.png")
    folder = FolderSource.open(root, labels="none")
    kept_at = {}
    for rate in (0.0, 0.3, 0.6, 1.0):
        limits = {"drop_grey": True, "min_chroma": 3, "low_chroma_rate": rate}
        kept_at[rate] = set(splits.keep_colored(folder, **limits).keys)
    colored = {f"red{number}.png" for number in range(10)}
    assert kept_at[0.0] == colored
    assert kept_at[1.0] == set(folder.keys) - {"grey.png"}
    expected = [
        key
        for key in folder.keys
        if key.startswith("dull") and hash_fraction(f"low_chroma:{key}") < 0.3
    ]
    assert kept_at[0.3] == colored | set(expected)
    assert 40 < len(expected) < 80
    assert kept_at[0.3] < kept_at[0.6]
    assert "1 exactly gray" in logged()[-1]

    prepare(root, tmp_path / "shards", num_shards=2, labels="none", jobs=1)
    records = ArrayRecordSource(tmp_path / "shards")
    numbers = color_filter.find_colored(records, drop_grey=True, min_chroma=3, low_chroma_rate=0.3)
    names = [*folder.keys[::2], *folder.keys[1::2]]
    assert {names[number] for number in numbers} == kept_at[0.3]

    with pytest.raises(RequestError, match=r"low_chroma_rate must be from 0 to 1, not 1\.5"):
        splits.keep_colored(folder, drop_grey=True, min_chroma=3, low_chroma_rate=1.5)


def of_kinds(*kinds):
    """A source of gray (0), sepia (1) and colored (2) photos; gray ones have JPEG's noise."""
    files = []
    for number, kind in enumerate(kinds):
        tint = [(1, 1, 1), (1, 0.9, 0.7), (1, 0.3, 0.1)][kind]
        pixels = (NOISE[..., None] * np.array(tint)).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(np.roll(pixels, number, 0)).save(buffer, "JPEG", quality=60)
        files.append(buffer.getvalue())
    return Arrays(files)


def test_training_photos_without_color_are_refused():
    with pytest.raises(RequestError, match="none of the 40 training photos has color"):
        color_filter.check_color(of_kinds(*[0] * 40))


@pytest.mark.parametrize(
    ("kinds", "text"),
    [
        ([2] * 20 + [0] * 10, ""),
        ([1] * 30, ""),  # one color, but a color
        ([2] * 5 + [0] * 15, "15 of 20 sampled training photos have no color"),
        ([0, 2] + [0] * 60, "training photos have no color"),
    ],
)
def test_many_photos_without_color_are_reported(kinds, text, caplog):
    color_filter.check_color(of_kinds(*kinds))
    assert text in caplog.text
    assert bool(caplog.text) == bool(text)
