"""Pitfalls of the protocols: differences that make published numbers incomparable."""

import numpy as np
import pytest
from helpers.synthetic import synthetic_images
from PIL import Image
from skimage import transform

from colorjax import color
from colorjax.data import hints, resampling
from colorjax.errors import RequestError
from colorjax.evaluate import photos, protocols


def imagenet(folder, numbers, size=(40, 30)):
    """Writes photos with the names of ImageNet's validation set, in two class folders."""
    for index, number in enumerate(numbers):
        path = folder / f"n{index % 2}" / f"ILSVRC2012_val_{number:08d}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(synthetic_images(1, max(size), seed=number)[0][: size[1], : size[0]]).save(
            path, quality=95
        )
    return str(folder)


def test_lists_are_those_of_the_protocols():
    numbers = {
        name: protocols.numbers(each.numbers)
        for name, each in protocols.PROTOCOLS.items()
        if each.data == "imagenet_val"
    }
    assert numbers["val5k"] == list(range(1, 5001))
    assert len(numbers["val50k"]) == 50_000
    # The first and last of eval_file_names.txt in big_vision; not validation[:5000].
    assert numbers["coltran-5k"][:3] == [9670, 36705, 3545]
    assert len(set(numbers["coltran-5k"])) == 5000
    # systems_b.md 1.2: all 10,000 numbers from 0 are in 25274..49999.
    assert (min(numbers["ctest10k"]), max(numbers["ctest10k"])) == (25275, 50_000)
    assert len(set(numbers["ctest10k"])) == 10_000


def test_reference_of_fid_is_disjoint_in_coltran_and_the_same_photos_in_val5k():
    coltran = protocols.find("coltran-5k")
    reference = protocols.numbers(coltran.reference)
    assert len(set(reference)) == 5000
    assert not set(reference) & set(protocols.numbers(coltran.numbers))
    assert coltran.fid == "others"
    assert protocols.find("val5k").fid == protocols.find("val50k").fid == "truth"


def test_crop_and_squash_differ(tmp_path):
    data = imagenet(tmp_path, range(1, 3))
    crop = photos.open_photos(protocols.find("val5k"), data, limit=2).prepared(0)
    squash = photos.open_photos(protocols.find("val50k"), data, limit=2).prepared(0)
    assert crop.shape == squash.shape == (256, 256, 3)
    stored = Image.open(tmp_path / "n0" / "ILSVRC2012_val_00000001.JPEG")
    how = Image.Resampling.BICUBIC
    np.testing.assert_array_equal(crop, stored.crop((5, 0, 35, 30)).resize((256, 256), how))
    np.testing.assert_array_equal(squash, stored.resize((256, 256), how))
    assert abs(crop.astype(int) - squash).mean() > 1


@pytest.mark.parametrize(("length", "side"), [(24, 8), (25, 8), (10, 16), (7, 7)])
def test_area_resizing_averages_exact_areas(length, side):
    """Against pixels repeated to a common grid, and averaged."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (length, length, 3), np.uint8)
    fine = np.repeat(np.repeat(rgb, side, axis=0), side, axis=1).astype(np.float64)
    means = fine.reshape(side, length, side, length, 3).mean(axis=(1, 3))
    resized = resampling.resized(rgb, side, "area")
    assert abs(resized - means).max() <= 0.5 + 1e-9
    if length == side:
        assert resized is rgb


def test_the_code_of_ddcolor_and_ct2_prepares_by_name(tmp_path):
    """Each by its own filter, next to ours, and stamped so in the result."""
    data = imagenet(tmp_path, [1], size=(600, 420))
    stored = np.asarray(Image.open(tmp_path / "n0" / "ILSVRC2012_val_00000001.JPEG"))
    square = stored[:, 90:510]
    prepared, stamps = {}, {}
    for name in ("val5k", "val5k-ddcolor", "val5k-ct2", "val5k-ct2-loader", "val50k-ddcolor"):
        protocol = protocols.find(name)
        prepared[name] = photos.open_photos(protocol, data, limit=1).prepared(0)
        stamps[name] = protocols.stamp(protocol)
    np.testing.assert_array_equal(
        prepared["val5k-ddcolor"], resampling.opencv_bilinear(stored, 256)
    )
    np.testing.assert_array_equal(prepared["val50k-ddcolor"], prepared["val5k-ddcolor"])
    unit = transform.resize(square, (256, 256), mode="reflect", anti_aliasing=True)
    np.testing.assert_array_equal(prepared["val5k-ct2"], (unit * 255).astype(np.uint8))
    loader = Image.fromarray(square).resize((256, 256), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(prepared["val5k-ct2-loader"], loader)
    for name in ("val5k-ct2", "val5k-ct2-loader"):
        assert (prepared[name] != prepared["val5k"]).mean() > 0.01
    assert [stamps[name].get("resampling") for name in stamps] == [
        "bicubic", "opencv", "skimage", "bilinear", "opencv"
    ]  # fmt: skip
    assert [stamps[name].get("crop", False) for name in stamps] == [True, False, True, True, False]
    assert len({stamps[name]["preparation"] for name in stamps}) == 4


def test_hint_places_are_named():
    places = {
        name: protocols.stamp(protocols.find(name))["hint_places"]
        for name in ("ctest10k", "ctest10k-gaussian")
    }
    assert places == {"ctest10k": "uniform", "ctest10k-gaussian": "gaussian"}
    assert all(
        each.hint_places in hints.PLACES if each.hint_counts else not each.hint_places
        for each in protocols.PROTOCOLS.values()
    )


def test_coltran_colorizes_large_and_compares_small(tmp_path):
    number = protocols.numbers("coltran_5k.txt")[0]
    opened = photos.open_photos(protocols.find("coltran-5k"), imagenet(tmp_path, [number]), limit=1)
    assert opened.prepared(0).shape == (512, 512, 3)
    assert opened.compared(opened.prepared(0)).shape == (256, 256, 3)


def test_luma_is_not_lightness():
    """field.md 4a: mean |L(rgb) - L(luma gray)| is 0.67 on CIFAR-10, p99 5.1."""
    rgb = synthetic_images(1, 32, seed=1)[0]
    seen = {kind: color.gray_photo(rgb, kind) for kind in ("lightness", "luma")}
    levels = {kind: color.rgb_u8_to_lab(gray)[..., 0] for kind, gray in seen.items()}
    lightness = color.rgb_u8_to_lab(rgb)[..., 0]
    assert abs(levels["lightness"] - lightness).max() <= 0.2  # half a level of 8 bits
    assert abs(levels["luma"] - lightness).max() > 2
    weights = rgb.astype(float) @ (0.299, 0.587, 0.114)
    assert abs(seen["luma"][..., 0] - weights).max() <= 0.5 + 1e-4
    assert protocols.find("coltran-5k").grey == "luma"
    assert protocols.find("val5k").grey == "lightness"


def test_the_aged_suite_ages_only_the_input_and_by_name(tmp_path):
    for number, image in enumerate(synthetic_images(3, 24, seed=5)):
        Image.fromarray(image).save(tmp_path / f"{number}.png")

    def seen(suite, data=tmp_path):
        opened = photos.open_photos(protocols.find(suite), str(data))
        return {k: opened.seen(n, opened.prepared(n)) for n, k in enumerate(opened.keys)}

    plain, aged = seen("folder"), seen("bsds-aged")
    for key, rgb in aged.items():
        assert (rgb.shape, rgb.dtype) == ((24, 24, 3), np.uint8)
        assert (rgb == rgb[..., :1]).all()
        assert np.abs(rgb.astype(int) - plain[key]).mean() > 1
    (tmp_path / "0.png").unlink()  # the others stay the same
    again = seen("bsds-aged")
    assert set(again) == {"1.png", "2.png"}
    for key, rgb in again.items():
        np.testing.assert_array_equal(rgb, aged[key])
    Image.open(tmp_path / "1.png").save(tmp_path / "3.png")  # the same photo by another name
    again = seen("bsds-aged")
    assert (again["1.png"] != again["3.png"]).any()
    stamps = [protocols.stamp(protocols.find(name)) for name in ("bsds-aged", "folder")]
    assert stamps[0]["aged"] == 1
    assert "painted on the true photo's L" in stamps[0]["painting"]
    assert not {"aged", "aging"} & stamps[1].keys()


def test_a_missing_photo_is_named(tmp_path):
    data = imagenet(tmp_path, [1, 2, 4])
    with pytest.raises(RequestError, match=r"ILSVRC2012_val_00000003.JPEG and 4996 more of 5000"):
        photos.open_photos(protocols.find("val5k"), data)
    with pytest.raises(RequestError, match=r"ILSVRC2012_val_00000003.JPEG of 4 photos missing"):
        photos.open_photos(protocols.find("val5k"), data, limit=4)
    with pytest.raises(RequestError, match="is no folder"):
        photos.open_photos(protocols.find("val5k"), str(tmp_path / "none"))
    with pytest.raises(
        RequestError, match="known: bsds-aged, cifar10-exact, cifar10-kth, coltran-5k, ctest10k"
    ):
        protocols.find("val")
