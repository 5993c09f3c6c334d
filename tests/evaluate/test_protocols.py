"""Pitfalls of the protocols: differences that make published numbers incomparable."""

import jax.numpy as jnp
import numpy as np
import pytest
import skimage.color
from helpers.synthetic import synthetic_images
from PIL import Image

from colorjax import color, metrics
from colorjax.data import crops
from colorjax.errors import RequestError
from colorjax.evaluate import photos, protocols
from colorjax.metrics import summary, table
from colorjax.metrics.picture import hues_of, values_of

PRIOR = np.full(313, 1 / 313)


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
    resized = crops.resized(rgb, side, "area")
    assert abs(resized - means).max() <= 0.5 + 1e-9
    if length == side:
        assert resized is rgb


def test_coltran_colorizes_large_and_compares_small(tmp_path):
    number = protocols.numbers("coltran_5k.txt")[0]
    opened = photos.open_photos(protocols.find("coltran-5k"), imagenet(tmp_path, [number]), limit=1)
    assert opened.prepared(0).shape == (512, 512, 3)
    assert opened.compared(opened.prepared(0)).shape == (256, 256, 3)


def test_luma_is_not_lightness():
    """field.md 4a: mean |L(rgb) - L(luma gray)| is 0.67 on CIFAR-10, p99 5.1."""
    rgb = synthetic_images(1, 32, seed=1)[0]
    seen = {kind: color.gray_photo(rgb, kind) for kind in ("lightness", "luma")}
    levels = {kind: color.rgb_u8_to_lab(grey)[..., 0] for kind, grey in seen.items()}
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


def record(rgb, truth, prior=PRIOR):
    from colorjax.metrics.picture import truth_of

    values = {k: np.asarray(v).tolist() for k, v in values_of(rgb, truth, prior).items()}
    return values | truth_of(truth)


def test_two_averages_of_psnr_and_grey_photos():
    """One average excludes the infinite PSNR of gray photos, the other includes their MSE of 0."""
    colorful = synthetic_images(2, 16, seed=2)
    near = np.clip(colorful[0].astype(int) + 1, 0, 255).astype(np.uint8)
    grey = color.gray_photo(colorful[1], "lightness")
    pairs = [(near, colorful[0]), (grey, colorful[1]), (grey, grey)]
    columns = summary.columns_of([record(*pair) for pair in pairs])
    measured = summary.summarize({"row": columns}, None)["row"]["metrics"]
    squares = [np.square(a.astype(float) - b).mean() for a, b in pairs]
    by_photo = [10 * np.log10(255**2 / mse) for mse in squares[:2]]
    assert measured["psnr"]["mean"] == pytest.approx(np.mean(by_photo), abs=1e-3)
    of_mean = 10 * np.log10(255**2 / np.mean(squares))
    assert measured["psnr_of_mean_mse"]["mean"] == pytest.approx(of_mean, abs=1e-3)
    assert measured["psnr"]["mean"] - measured["psnr_of_mean_mse"]["mean"] > 3


def test_grey_photos_count_in_no_psnr_with_hints():
    """field.md 4a (9): gray photos painted gray would raise the hint curve above psnr."""
    truth = synthetic_images(1, 16, seed=2)[0]
    grey = color.gray_photo(truth, "lightness")
    records = [record(grey, truth), record(grey, grey)]
    for each in records:
        each["psnr_hints_0"] = 10 * np.log10(255**2 / max(each["mse"], 1e-10))
    row = summary.summarize({"row": summary.columns_of(records)}, None)["row"]
    assert row["metrics"]["psnr_hints_0"] == row["metrics"]["psnr"]
    assert row["perfect_photos"] == 1


def test_the_size_of_a_difference_of_means_has_no_interval():
    """If the true difference is 0, all resamples lie on one side of it."""
    pictures = [synthetic_images(1, 16, seed=seed)[0] for seed in range(4)]
    columns = summary.columns_of([record(p, p) for p in pictures])
    measured = summary.summarize({"row": columns}, None)["row"]["metrics"]
    for name in ("delta_colorfulness", "delta_colorfulness_abs"):
        assert measured[name] == {"mean": 0, "interval": None}
    assert measured["delta_colorfulness_by_photo"]["interval"] == [0, 0]


def test_psnr_is_of_rgb():
    """field.md 4a (6): an MSE of 0.0026 of [0, 1] is 25.9 dB, not 51."""
    truth = np.full((16, 16, 3), 100, np.uint8)
    off = np.full_like(truth, 113)  # (13 / 255)^2 = 0.0026
    assert float(metrics.psnr(off, truth)) == pytest.approx(25.85, abs=0.01)


def test_two_formulas_of_colorfulness_and_three_deltas():
    """field.md 4a (1): signed and absolute opponents; 4.7: delta of means, mean of deltas."""
    rng = np.random.default_rng(4)
    truths = [rng.integers(0, 256, (16, 16, 3)).astype(np.uint8) for _ in range(2)]
    truths[1] //= 3
    pictures = truths[::-1]  # equal means, but every photo is wrong

    def opponents(rgb):
        red, green, blue = np.moveaxis(rgb.astype(float), -1, 0)
        return red - green, (red + green) / 2 - blue

    def strength(rg, yb):
        return np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())

    signed = [strength(*opponents(rgb)) for rgb in truths]
    absolute = [strength(*map(abs, opponents(rgb))) for rgb in truths]
    pairs = zip(pictures, truths, strict=True)
    columns = summary.columns_of([record(*pair) for pair in pairs])
    measured = summary.summarize({"row": columns}, None)["row"]["metrics"]
    assert measured["colorfulness"]["mean"] == pytest.approx(np.mean(signed), rel=1e-4)
    assert measured["colorfulness_abs"]["mean"] == pytest.approx(np.mean(absolute), rel=1e-4)
    assert measured["delta_colorfulness"]["mean"] == pytest.approx(0, abs=1e-3)
    assert measured["delta_colorfulness_abs"]["mean"] == pytest.approx(0, abs=1e-3)
    by_photo = abs(signed[0] - signed[1])
    assert measured["delta_colorfulness_by_photo"]["mean"] == pytest.approx(by_photo, rel=1e-4)


def test_metrics_of_all_pixels_weigh_photos_by_their_pixels():
    truths = [synthetic_images(1, side, seed=side)[0] for side in (12, 36)]
    greys = [color.gray_photo(truth, "lightness") for truth in truths]
    columns = summary.columns_of([record(g, t) for g, t in zip(greys, truths, strict=True)])
    measured = summary.summarize({"row": columns}, None)["row"]["metrics"]
    distances = [
        np.linalg.norm((color.rgb_u8_to_lab(t) - color.rgb_u8_to_lab(g))[..., 1:], axis=-1).ravel()
        for g, t in zip(greys, truths, strict=True)
    ]
    every = np.concatenate(distances)
    assert measured["rmse_ab"]["mean"] == pytest.approx(np.sqrt(np.square(every).mean()), rel=1e-4)
    auc = 1 - np.minimum(every, 150).mean() / 150
    assert measured["auc"]["mean"] == pytest.approx(auc, rel=1e-5)


def test_the_other_metrics():
    """Against scikit-image or NumPy, with photos of two sizes and a prior."""
    prior = np.arange(1, 314) / np.arange(1, 314).sum()
    truths = [synthetic_images(1, side, seed=side)[0] for side in (12, 36)]
    pictures = [np.roll(truth, 3, axis=1) for truth in truths]
    pairs = list(zip(pictures, truths, strict=True))
    columns = summary.columns_of([record(*pair, prior) for pair in pairs])
    measured = summary.summarize({"row": columns}, None)["row"]["metrics"]
    labs = [[skimage.color.rgb2lab(each) for each in pair] for pair in pairs]
    wanted = {
        "delta_e_2000": np.mean([skimage.color.deltaE_ciede2000(t, p).mean() for p, t in labs]),
        "chroma_ratio": np.mean([np.hypot(p[..., 1], p[..., 2]).mean() for p, _ in labs])
        / np.mean([np.hypot(t[..., 1], t[..., 2]).mean() for _, t in labs]),
    }
    bins = np.asarray(color.ab_bins(), np.float64)
    right = weight = 0.0
    for p, t in labs:
        nearest = np.linalg.norm(t[..., None, 1:] - bins, axis=-1).argmin(-1)
        weights = 1 / prior[nearest]
        distance = np.linalg.norm((p - t)[..., 1:], axis=-1)
        right += (weights * (1 - np.minimum(distance, 150) / 150)).sum()
        weight += weights.sum()
    wanted["auc_rebalanced"] = right / weight
    for name, value in wanted.items():
        assert measured[name]["mean"] == pytest.approx(value, rel=2e-3), name
    for name, share in (("accuracy_2", 2), ("accuracy_5", 5)):
        own = np.mean([metrics.accuracy_within(p, t, share) for p, t in labs])
        assert measured[name]["mean"] == pytest.approx(own, abs=2e-3), name
    assert measured["accuracy_2"]["mean"] < measured["accuracy_5"]["mean"]


def test_only_gray_photos_have_no_chroma_ratio():
    grey = color.gray_photo(synthetic_images(1, 16)[0], "lightness")
    rows = summary.summarize({"row": summary.columns_of([record(grey, grey)])}, None)
    assert "chroma_ratio" not in rows["row"]["metrics"]


@pytest.mark.parametrize("xp", [np, jnp])
def test_hues_are_chroma_by_angle(xp):
    angles = np.array([5.0, 95.0, 355.0])
    chroma = np.array([10.0, 20.0, 40.0])
    radians = np.deg2rad(angles)
    ab = np.stack([chroma * np.cos(radians), chroma * np.sin(radians)], axis=-1)
    ab = np.concatenate([ab, [[3.0, 0.0]]])[None].astype(np.float32)  # chroma too low for a hue
    hues = np.asarray(hues_of(xp.asarray(ab), xp))
    wanted = np.zeros(36)
    wanted[[0, 9, 35]] = chroma / 4
    np.testing.assert_allclose(hues, wanted, rtol=1e-5)


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


def test_every_metric_of_a_result_is_defined():
    columns = summary.columns_of([record(*synthetic_images(2, 16)) for _ in range(2)])
    rows = summary.summarize({"grey": columns, "per_lightness": columns}, "grey")
    assert set(rows["grey"]["metrics"]) <= set(table.METRICS)
    in_tables = {name for each in protocols.PROTOCOLS.values() for name in each.shown}
    assert in_tables <= set(rows["grey"]["metrics"])
    assert rows["per_lightness"]["skill"]["mean"] == 0
    differences = rows["per_lightness"]["difference"]
    assert all(each["mean"] == 0 and each["better"] == 0 for each in differences.values())
