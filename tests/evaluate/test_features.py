"""FID, LPIPS and top1 of a suite, with fake networks; the real ones are tested separately."""

import dataclasses

import numpy as np
import pytest
from helpers.synthetic import synthetic_images, tiny_config
from helpers.workdirs import fresh_workdir
from PIL import Image

from colorjax import color, evaluate
from colorjax.data import resampling
from colorjax.errors import RequestError
from colorjax.evaluate import features, photos, protocols
from colorjax.evaluate.features import FeatureFiles

SIZE = 24


class Networks:
    """Fake networks: five center values are the features, the brightest channel is the class."""

    stamps = {"inception": {"kind": "stand-in"}, "vgg16": {"kind": "stand-in"}}  # noqa: RUF012

    @staticmethod
    def features(rgb):
        return (rgb[:, 8:12, 8:12].reshape(len(rgb), -1)[:, :5] / 255).astype(np.float32)

    @staticmethod
    def lpips(one, other):
        return abs(one.astype(np.float32) - other).mean((1, 2, 3)) / 255

    @staticmethod
    def lite0_features(rgb):
        return (rgb[:, 8:12, 8:12].reshape(len(rgb), -1)[:, 5:9] / 255).astype(np.float32)

    @staticmethod
    def lite0_distance(one, other):
        return abs(one.astype(np.float32) - other).max((1, 2, 3))

    @staticmethod
    def classes(rgb):
        logits = np.zeros((len(rgb), 1000), np.float32)
        logits[:, :3] = rgb.mean((1, 2))
        return logits


@pytest.fixture
def networks(monkeypatch):
    monkeypatch.setattr(features.FeatureNetworks, "open", lambda *files, **more: Networks)
    monkeypatch.setattr(features, "_FEATURES", {"features": 5, "lite0": 4})


@pytest.fixture
def album(tmp_path):
    (tmp_path / "album").mkdir()
    images = np.stack(synthetic_images(6, SIZE, seed=11))
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "album" / f"{number}.png")
    return tmp_path / "album", images


@pytest.fixture
def run(tmp_path):
    return str(fresh_workdir(tmp_path / "run", tiny_config("unused"), deviation=0.1))


def frechet(one, other):
    one, other = one.astype(float), other.astype(float)
    covariances = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    # The trace of the root by its eigenvalues: SciPy's sqrtm warns about these singular products.
    values = np.linalg.eigvals(covariances[0] @ covariances[1]).real
    off = one.mean(0) - other.mean(0)
    trace = np.trace(covariances[0] + covariances[1]) - 2 * np.sqrt(values.clip(0)).sum()
    return off @ off + trace


def test_fid_lpips_and_classes_of_rows(networks, run, album, tmp_path):
    data, truths = album
    labels = tmp_path / "classes.txt"
    labels.write_text("".join(f"{number}.png {number % 3}\n" for number in range(6)))
    files = FeatureFiles(inception="i", lpips=("t", "l"), vgg16="v", classes=str(labels))
    request = evaluate.Request(
        [run], "folder", str(data), str(tmp_path / "out"), size=SIZE, features=files
    )
    result = evaluate.evaluate(request).result
    grays = np.stack([color.gray_photo(truth, "lightness") for truth in truths])
    row = result["rows"]["grey"]["metrics"]
    wanted = frechet(Networks.features(grays), Networks.features(truths))
    assert row["fid"]["mean"] == pytest.approx(wanted, abs=1e-5)
    assert row["fid"]["interval"] is None
    wanted = frechet(Networks.lite0_features(grays), Networks.lite0_features(truths))
    assert row["frechet_lite0"]["mean"] == pytest.approx(wanted, abs=1e-5)
    assert row["frechet_lite0"]["mean"] != pytest.approx(row["fid"]["mean"], rel=0.01)
    distances = Networks.lite0_distance(grays, truths)
    assert row["lite_distance"]["mean"] == pytest.approx(distances.mean())
    assert row["lpips"]["mean"] == pytest.approx(Networks.lpips(grays, truths).mean())
    hits = Networks.classes(grays).argmax(1) == np.arange(6) % 3
    assert row["top1"]["mean"] == pytest.approx(hits.mean())
    assert row["top5"]["mean"] == 1  # only three logits are above 0
    assert result["not available"] == {}
    of_truth = Networks.classes(truths).argmax(1) == np.arange(6) % 3
    assert result["truth"]["top1"] == pytest.approx(of_truth.mean())
    assert result["feature_networks"]["vgg16"]["photos_with_a_class"] == 6
    again = evaluate.evaluate(request).result  # from the stored parts
    assert again == result
    labels.write_text("".join(f"{number}.png 7\n" for number in range(6)))
    with pytest.raises(RequestError, match="different feature networks"):
        evaluate.evaluate(request)


def test_a_small_fid_comes_with_a_warning(networks, run, album, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "_FEATURES", {"features": 2048, "lite0": 4})
    wide = staticmethod(lambda rgb: np.zeros((len(rgb), 2048), np.float32))
    monkeypatch.setattr(Networks, "features", wide)
    monkeypatch.setattr(evaluate.run, "frechet_distance", lambda one, other: 0.0)
    options = {"size": SIZE, "features": FeatureFiles(inception="i")}
    request = evaluate.Request([run], "folder", str(album[0]), str(tmp_path / "out"), **options)
    outcome = evaluate.evaluate(request)
    assert outcome.result["warnings"][0].startswith("FID of 6 and 6 photos with 2048 features")
    assert "FID of 6 and 6 photos" in outcome.table


def test_coltran_compares_with_other_photos(networks, run, tmp_path, monkeypatch):
    """With the truth of the same photos as reference, FID would be 0 for a perfect picture."""
    wanted = protocols.numbers
    small = dataclasses.replace(protocols.find("coltran-5k"), colorize_size=48, size=24)
    monkeypatch.setitem(protocols.PROTOCOLS, "coltran-5k", small)
    for kind in ("coltran_5k.txt", "coltran_5k_reference.txt"):
        for number in wanted(kind)[:3]:
            image = synthetic_images(1, 40, seed=number)[0]
            Image.fromarray(image).save(tmp_path / f"ILSVRC2012_val_{number:08d}.JPEG")
    files = FeatureFiles(inception="i")
    request = evaluate.Request(
        [run],
        "coltran-5k",
        str(tmp_path),
        str(tmp_path.parent / "out-coltran"),
        limit=3,
        features=files,
    )
    result = evaluate.evaluate(request).result
    direct = [
        np.stack(
            [
                resampling.resized(
                    np.asarray(Image.open(tmp_path / f"ILSVRC2012_val_{n:08d}.JPEG")), side, "area"
                )
                for n in wanted(kind)[:3]
            ]
        )
        for kind, side in (("coltran_5k.txt", 48), ("coltran_5k_reference.txt", 24))
    ]
    compared = np.stack([resampling.resized(rgb, 24, "area") for rgb in direct[0]])
    floor = frechet(Networks.features(compared), Networks.features(direct[1]))
    assert result["truth"]["fid"] == pytest.approx(floor, abs=1e-5)
    assert result["truth"]["fid"] > 1e-3
    reference = result["photos"]["reference"]
    assert (reference["measured"], reference["unreadable"]) == (3, [])
    assert reference["digest"] != result["photos"]["digest"]
    name = f"ILSVRC2012_val_{wanted('coltran_5k_reference.txt')[0]:08d}.JPEG"
    Image.fromarray(synthetic_images(1, 40, seed=1)[0]).save(tmp_path / name)
    with pytest.raises(RequestError, match="an evaluation with different reference"):
        evaluate.evaluate(request)


def test_files_that_do_not_fit(run, album, tmp_path):
    data, _ = album
    request = evaluate.Request([run], "folder", str(data), str(tmp_path / "out"), size=SIZE)

    def ask(**files):
        return evaluate.evaluate(dataclasses.replace(request, features=FeatureFiles(**files)))

    with pytest.raises(RequestError, match="both --vgg16 FILE and --classes FILE"):
        ask(vgg16="vgg16.pth")
    with pytest.raises(RequestError, match=r"nowhere\.pth"):
        ask(inception="nowhere.pth")
    assert not (tmp_path / "out").exists()
    some = photos.open_photos(protocols.find("folder"), str(data))
    with pytest.raises(RequestError, match="has no FID; omit --inception"):
        features.Features(FeatureFiles(inception="i"), some, with_fid=False)
    with pytest.raises(RequestError, match="has no group of a photo"):
        features.group_names("folder", some)
