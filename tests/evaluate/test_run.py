"""`colorjax evaluate`: rows, records, resuming, output files and refusals."""

import csv
import dataclasses
import html.parser
import json

import numpy as np
import pytest
import skimage.color
from helpers.synthetic import synthetic_images, tiny_config
from helpers.workdirs import fresh_workdir
from PIL import Image

from colorjax import color, evaluate, metrics
from colorjax.cli import main as cli
from colorjax.color import gray_photo
from colorjax.data.sources import cifar10
from colorjax.errors import Interrupted, RequestError
from colorjax.evaluate import baselines, parts, photos, protocols
from colorjax.inference.colorizer import Colorizer
from configs import zhang16, zhang17


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    fresh_workdir(root / "one", tiny_config("unused"), deviation=0.1)
    fresh_workdir(root / "two", tiny_config("unused"), deviation=0.3)
    return root


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    folder = tmp_path_factory.mktemp("album")
    images = [
        *synthetic_images(9, 24, seed=7),
        gray_photo(synthetic_images(1, 24)[0], "luma"),
    ]
    for number, image in enumerate(images):
        subfolder = folder / ("out" if number % 2 else "in")
        subfolder.mkdir(exist_ok=True)
        Image.fromarray(image).save(subfolder / f"{number}.png")
    return folder


def ask(runs, album, output, **options):
    methods = options.pop("methods", [str(runs / "one"), str(runs / "two")])
    options = {"suite": "folder", "size": 24} | options
    return evaluate.Request(methods, data=str(album), output=str(output), **options)


@pytest.fixture(scope="module")
def done(runs, album, tmp_path_factory):
    return evaluate.evaluate(ask(runs, album, tmp_path_factory.mktemp("out"), groups="folder"))


def test_metrics_of_rows_are_those_of_their_pictures(done, runs, album):
    """Recomputes pictures with the Colorizer and NumPy, and metrics with their functions."""
    truths = [np.asarray(Image.open(path)) for path in sorted(album.rglob("*.png"))]
    grays = [gray_photo(truth, "lightness") for truth in truths]
    colorizer = Colorizer.load(runs / "one")
    tables = baselines.read_tables()[0]

    def painted(gray, ab):
        lab = np.concatenate([color.rgb_u8_to_lab(gray)[..., :1], ab], axis=-1)
        return color.lab_to_rgb_u8(lab.astype(np.float32), "shrink_chroma")

    def ab_of(rgb):
        return color.rgb_u8_to_lab(rgb)[..., 1:]

    wanted = {
        "grey": grays,
        "one": [colorizer.colorize(gray) for gray in grays],
        "per_lightness": [
            painted(
                g, tables["per_lightness"].ab[np.rint(color.rgb_u8_to_lab(g)[..., 0]).astype(int)]
            )
            for g in grays
        ],
        "mean": [painted(g, np.full((24, 24, 2), tables["mean"].ab[0])) for g in grays],
        "oracle_mean": [
            painted(g, np.broadcast_to(ab_of(t).mean((0, 1)), (24, 24, 2)))
            for g, t in zip(grays, truths, strict=True)
        ],
        "oracle_bins": [
            painted(g, np.rint(ab_of(t) / 10) * 10) for g, t in zip(grays, truths, strict=True)
        ],
    }
    for row, pictures in wanted.items():
        measured = done.result["rows"][row]["metrics"]
        pairs = list(zip(pictures, truths, strict=True))
        mae = np.mean([abs(ab_of(p) - ab_of(t)).mean() for p, t in pairs])
        assert measured["mae_ab_8bit"]["mean"] == pytest.approx(mae, abs=2e-3), row
        ssim = np.mean([metrics.ssim(p, t) for p, t in pairs])
        assert measured["ssim"]["mean"] == pytest.approx(ssim, abs=1e-4), row
        low, high = measured["mae_ab_8bit"]["interval"]
        assert low <= measured["mae_ab_8bit"]["mean"] <= high, row
    table = done.result["rows"]["per_lightness"]["metrics"]["mae_ab_8bit"]["mean"]
    one = done.result["rows"]["one"]
    assert one["skill"]["mean"] == pytest.approx(1 - one["metrics"]["mae_ab_8bit"]["mean"] / table)
    assert done.result["photos"]["measured"] == 10
    assert done.result["photos"]["exactly_grey"] == 1


def test_of_aged_photos_only_color_is_measured(done, runs, album, tmp_path):
    """Colors of the picture of the aged photo on the true lightness; deterministic."""
    request = ask(runs, album, tmp_path / "a", suite="bsds-aged", methods=[str(runs / "one")])
    first = evaluate.evaluate(request).result
    second = evaluate.evaluate(dataclasses.replace(request, output=str(tmp_path / "b"))).result
    assert first == second
    assert first["photos"]["digest"] == done.result["photos"]["digest"]
    assert first["photos"]["aged_digest"] not in ("", first["photos"]["digest"])
    assert "aged_digest" not in done.result["photos"]
    opened = photos.open_photos(protocols.find("bsds-aged"), str(album))
    colorizer, pairs, of_table = Colorizer.load(runs / "one"), [], []
    table = baselines.read_tables()[0]["per_lightness"].ab
    for number in range(len(opened.keys)):
        truth = opened.prepared(number)
        seen = opened.seen(number, truth)
        lightness = skimage.color.rgb2lab(truth)[..., :1]
        ab = skimage.color.rgb2lab(colorizer.colorize(seen))[..., 1:]
        lab = np.concatenate([lightness, ab], axis=-1).astype(np.float32)
        pairs.append((color.lab_to_rgb_u8(lab, "shrink_chroma"), truth))
        lab[..., 1:] = table[np.rint(skimage.color.rgb2lab(seen)[..., 0]).astype(int)]
        looked_up = skimage.color.rgb2lab(color.lab_to_rgb_u8(lab, "shrink_chroma"))[..., 1:]
        of_table.append(abs(looked_up - skimage.color.rgb2lab(truth)[..., 1:]).mean())

    def mean_of(row, metric):
        return first["rows"][row]["metrics"][metric]["mean"]

    colored = [pair for pair in pairs if np.ptp(pair[1], axis=-1).any()]
    psnr = np.mean([metrics.psnr(*pair) for pair in colored])
    assert mean_of("one", "psnr") == pytest.approx(psnr, abs=0.01)
    mae = np.mean([abs(np.subtract(*map(skimage.color.rgb2lab, p)))[..., 1:].mean() for p in pairs])
    assert mean_of("one", "mae_ab_8bit") == pytest.approx(mae, abs=5e-3)
    # The table uses the aged L; low chroma fits into sRGB at either L.
    assert mean_of("per_lightness", "mae_ab_8bit") == pytest.approx(np.mean(of_table), abs=5e-3)
    of_folder = done.result["rows"]["grey"]["metrics"]
    for metric, slack in (("mae_ab_8bit", 0.02), ("psnr", 0.05)):  # no color is no color
        assert mean_of("grey", metric) == pytest.approx(of_folder[metric]["mean"], abs=slack)
    plain = done.result["rows"]["per_lightness"]["metrics"]["mae_ab_8bit"]["mean"]
    assert abs(mean_of("per_lightness", "mae_ab_8bit") - plain) > 0.02


def test_two_runs_are_compared_by_photo(done):
    assert done.result["compared_with"] == "one"
    assert "difference" not in done.result["rows"]["one"]
    two = done.result["rows"]["two"]
    difference = two["difference"]["mae_ab_8bit"]
    own = [done.result["rows"][name]["metrics"]["mae_ab_8bit"]["mean"] for name in ("two", "one")]
    assert difference["mean"] == pytest.approx(own[0] - own[1])
    low, high = difference["interval"]
    assert low <= difference["mean"] <= high
    oracle = done.result["rows"]["oracle_bins"]["difference"]
    assert oracle["psnr"]["mean"] > 0 > oracle["mae_ab_8bit"]["mean"]
    assert oracle["psnr"]["better"] == oracle["mae_ab_8bit"]["better"] == 1
    assert difference["better"] == (-1 if low > 0 else 1 if high < 0 else 0)


def test_groups_are_parts_of_the_photos(done):
    groups = done.result["groups"]
    assert {name: each["photos"] for name, each in groups.items()} == {"in": 5, "out": 5}
    means = [each["rows"]["two"]["metrics"]["mae_ab_8bit"]["mean"] for each in groups.values()]
    whole = done.result["rows"]["two"]["metrics"]["mae_ab_8bit"]["mean"]
    assert np.mean(means) == pytest.approx(whole)


def test_what_is_written(done):
    result = json.loads((done.output / "result.json").read_text())
    assert result == done.result
    assert set(result["not available"]) == {"fid", "lpips", "top1"}
    lines = list(csv.DictReader((done.output / "result.csv").read_text().splitlines()))
    line = next(
        x for x in lines if (x["row"], x["metric"], x["group"]) == ("one", "mae_ab_8bit", "in")
    )
    assert (
        float(line["value"])
        == result["groups"]["in"]["rows"]["one"]["metrics"]["mae_ab_8bit"]["mean"]
    )
    line = next(x for x in lines if (x["row"], x["metric"], x["group"]) == ("two", "psnr", ""))
    difference = result["rows"]["two"]["difference"]["psnr"]
    assert float(line["difference_to_first"]) == difference["mean"]
    assert [float(line[f"difference_{end}"]) for end in ("low", "high")] == difference["interval"]
    assert int(line["better"]) == difference["better"]
    table = (done.output / "result.md").read_text().splitlines()
    head = [cell.strip() for cell in table[2].strip("|").split("|")]
    row = next(line for line in table if line.startswith("| two |")).strip("|").split("|")
    estimate = result["rows"]["two"]["metrics"]["psnr"]
    low, high = estimate["interval"]
    assert row[head.index("psnr ↑")].strip() == f"{estimate['mean']:.2f} [{low:.2f}, {high:.2f}]"
    page = (done.output / "index.html").read_text()
    links: list[str] = []

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            links.extend(value for name, value in attrs if name in ("src", "href"))

    Parser().feed(page)
    assert links
    assert all((done.output / link).is_file() for link in links)
    assert "http" not in page
    assert result["photos"]["digest"] in page
    assert "skill" in done.table


def test_a_stopped_run_repeats_no_part(runs, album, tmp_path, monkeypatch, done):
    request = ask(runs, album, tmp_path / "out", groups="folder")
    calls = []

    def stop_after_three():
        calls.append(1)
        return len(calls) > 3

    with pytest.raises(Interrupted, match="stopped after 3 of 8 parts; the same command continues"):
        evaluate.evaluate(request, should_stop=stop_after_three)
    saved = []
    monkeypatch.setattr(parts.Work, "save", _noting(parts.Work.save, saved))
    outcome = evaluate.evaluate(request)
    assert len(saved) == 5
    assert outcome.result == done.result
    evaluate.evaluate(request)
    assert len(saved) == 5
    more = ask(
        runs,
        album,
        tmp_path / "out",
        groups="folder",
        methods=[*request.methods, f"x={runs / 'one'}"],
    )
    again = evaluate.evaluate(more).result["rows"]
    assert saved[5:] == ["x"]
    assert again["x"]["metrics"] == again["one"]["metrics"]


def _noting(save, saved):
    def noting(self, row, *rest):
        saved.append(row)
        return save(self, row, *rest)

    return noting


def test_damaged_parts_are_named(runs, album, tmp_path):
    request = ask(runs, album, tmp_path / "out", limit=1)
    evaluate.evaluate(request)
    file = tmp_path / "out" / "work" / "one" / "000000.json"
    file.write_text("")
    with pytest.raises(RequestError, match=r"000000\.json' is damaged; delete it"):
        evaluate.evaluate(request)
    file.unlink()
    evaluate.evaluate(request)
    (tmp_path / "out" / "work" / "plan.json").write_text("{}")
    with pytest.raises(RequestError, match=r"holds 'result.json' but no evaluation"):
        evaluate.evaluate(request)


def test_parts_of_any_size_give_the_same_result(runs, album, tmp_path, monkeypatch, done):
    from colorjax.evaluate import run

    monkeypatch.setattr(run, "_PART", {True: 3, False: 3})
    outcome = evaluate.evaluate(ask(runs, album, tmp_path / "out", groups="folder"))
    assert outcome.result == done.result


def test_photos_of_their_own_sizes(runs, tmp_path):
    (tmp_path / "album").mkdir()
    for number, side in enumerate((16, 24)):
        image = synthetic_images(1, side, seed=number)[0]
        Image.fromarray(image[:, : side - 3]).save(tmp_path / "album" / f"{number}.png")
    (tmp_path / "album" / "z.png").write_bytes(b"no photo")
    request = ask(runs, tmp_path / "album", tmp_path / "out", size=0, methods=[str(runs / "one")])
    outcome = evaluate.evaluate(request)
    assert outcome.result["photos"]["measured"] == 2
    assert outcome.result["photos"]["unreadable"][0].startswith("z.png: ")
    arguments = [
        "evaluate",
        str(runs / "one"),
        "--suite",
        "folder",
        "--data",
        str(tmp_path / "album"),
    ]
    assert (
        cli.run([*arguments, "--output", str(tmp_path / "out")]) == 1
    )  # done, except for one photo


def test_photos_that_change_are_not_mixed(runs, tmp_path):
    """Other pixels under the same names."""
    album = tmp_path / "album"
    album.mkdir()

    def fill(seed):
        for number, image in enumerate(synthetic_images(3, 24, seed=seed)):
            Image.fromarray(image).save(album / f"{number}.png")

    fill(1)
    request = ask(runs, album, tmp_path / "out", methods=[str(runs / "one")])
    evaluate.evaluate(request)
    fill(2)
    with pytest.raises(RequestError, match="an evaluation with different photos"):
        evaluate.evaluate(request)


@pytest.mark.parametrize("content", [b"no photo", None])
def test_a_photo_that_changes_while_it_is_measured(runs, tmp_path, monkeypatch, content):
    album = tmp_path / "album"
    album.mkdir()
    for number, image in enumerate(synthetic_images(3, 24, seed=1)):
        Image.fromarray(image).save(album / f"{number}.png")
    monkeypatch.setattr(photos, "identity_of", lambda files: "the same")
    request = ask(runs, album, tmp_path / "out", methods=[str(runs / "one")])
    asked = iter([False, True])
    with pytest.raises(Interrupted):  # after the truths
        evaluate.evaluate(request, should_stop=lambda: next(asked))
    (album / "1.png").write_bytes(content or (album / "2.png").read_bytes())
    with pytest.raises(RequestError, match=r"'1\.png' changed during the evaluation"):
        evaluate.evaluate(request)


def test_finished_pictures_that_are_redone_are_measured_again(runs, album, tmp_path):
    for path in album.rglob("*.png"):
        Image.open(path).convert("L").convert("RGB").save(tmp_path / path.name)
    request = ask(runs, album, tmp_path / "out", methods=[f"theirs={tmp_path}"])
    evaluate.evaluate(request)
    for path in album.rglob("*.png"):
        Image.open(path).save(tmp_path / path.name)
    with pytest.raises(RequestError, match="other weights named 'theirs'"):
        evaluate.evaluate(request)
    renewed = evaluate.evaluate(dataclasses.replace(request, renew=True)).result
    assert renewed["rows"]["theirs"]["metrics"]["mae_ab_8bit"]["mean"] == 0
    assert renewed["rows"]["theirs"]["perfect_photos"] == 10


def test_finished_pictures_of_another_program(runs, album, tmp_path):
    for path in album.rglob("*.png"):
        Image.open(path).save(tmp_path / path.name)
    request = ask(runs, album, tmp_path / "out", methods=[f"perfect={tmp_path}"])
    result = evaluate.evaluate(request).result
    assert not result["warnings"]
    measured = result["rows"]["perfect"]["metrics"]
    assert measured["mae_ab_8bit"]["mean"] == 0
    assert measured["psnr"]["mean"] == pytest.approx(10 * np.log10(255**2 / 1e-10))


def test_jpeg_pictures_give_a_warning(runs, album, tmp_path):
    for path in album.rglob("*.png"):
        Image.open(path).save(tmp_path / f"{path.stem}.jpg", quality=95)
    request = ask(runs, album, tmp_path / "out", methods=[f"lossy={tmp_path}"], limit=3)
    outcome = evaluate.evaluate(request)
    (warning,) = outcome.result["warnings"]
    assert warning.startswith("lossy: 3 of its pictures are JPEG")
    assert warning in outcome.table
    assert warning in (tmp_path / "out" / "index.html").read_text()


def test_groups_from_a_file(runs, album, tmp_path):
    file = tmp_path / "groups.txt"
    file.write_text("in/0.png outdoor\nout/1.png people\nin/2.png outdoor\n")
    request = ask(runs, album, tmp_path / "out", methods=[str(runs / "one")], groups=str(file))
    groups = evaluate.evaluate(dataclasses.replace(request, limit=0)).result["groups"]
    assert {name: each["photos"] for name, each in groups.items()} == {
        "outdoor": 2,
        "people": 1,
        "(none)": 7,
    }
    missing = dataclasses.replace(request, groups=str(tmp_path / "none.txt"))
    with pytest.raises(
        RequestError, match=r"none.txt' is no file; give one of lines `PHOTO GROUP`"
    ):
        evaluate.evaluate(missing)


def test_distributions_are_judged(tmp_path, album):
    config = zhang16.get_config("size=32,width=0.125")
    fresh_workdir(tmp_path / "bins", config)
    request = ask(tmp_path, album, tmp_path / "out", methods=[str(tmp_path / "bins")], limit=2)
    row = evaluate.evaluate(request).result["rows"]["bins"]
    assert 0 < row["metrics"]["bits_per_pixel"]["mean"] < 40
    assert sum(point["share"] for point in row["reliability"]) == pytest.approx(1)
    assert all(0 <= p["accuracy"] <= 1 and 0 <= p["confidence"] <= 1 for p in row["reliability"])
    gaps = [p["share"] * abs(p["accuracy"] - p["confidence"]) for p in row["reliability"]]
    assert row["metrics"]["ece"]["mean"] == pytest.approx(sum(gaps))
    assert (tmp_path / "out" / "pictures" / "bins_reliability.png").is_file()


def test_a_sure_and_right_distribution_is_reliable(monkeypatch):
    """By hand: 3 of 4 pixels are confident and right, one is confident and wrong."""
    truth = np.zeros((2, 2, 3), np.uint8)  # ab = 0
    right, wrong = (color.ab_bins() == [0, 0]).all(-1).argmax(), 5
    shares = np.zeros((2, 2, 313), np.float32)
    shares[..., right], shares[..., wrong] = 0.84, 0.16
    shares[1, 1, right], shares[1, 1, wrong] = 0.16, 0.84

    class Sure:
        has_bins = True

        def predict_distribution(self, image):
            return shares

    row = baselines.Colorized.__new__(baselines.Colorized)
    row._colorizer = Sure()
    measured = row.more(truth, truth)
    assert measured["bits_per_pixel"] == pytest.approx(-(3 * np.log2(0.84) + np.log2(0.16)) / 4)
    from colorjax.metrics import summary

    points = summary.reliability([measured])
    assert len(points) == 15  # one level of confidence: all points are equal
    for point in points:
        assert point == pytest.approx({"share": 1 / 15, "confidence": 0.84, "accuracy": 0.75})
    assert summary.ece_of(points) == pytest.approx(0.09)


def test_hints_bring_the_truth_nearer(monkeypatch):
    """With a fake colorizer that paints the square of each hint."""
    truth = synthetic_images(1, 64, seed=9)[0]
    given = []

    class Painting:
        def prepare(self, gray):
            self._gray = gray
            return self

        def colorize(self, hints):
            given.append(hints)
            picture = self._gray.copy()
            for x, y, code in hints:
                picture[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = list(
                    bytes.fromhex(code[1:])
                )
            return picture

    row = baselines.Colorized.__new__(baselines.Colorized)
    row._colorizer = Painting()
    gray = gray_photo(truth, "lightness")
    psnrs = row.psnr_with_hints(truth, gray, (0, 5, 100), seed=3, places="uniform")
    assert psnrs[0] == pytest.approx(float(metrics.psnr(gray, truth)))
    assert psnrs[0] < psnrs[1] < psnrs[2]
    assert [len(hints) for hints in given] == [0, 5, 100]
    assert given[2][:5] == given[1]  # the same hints, and more
    assert row.psnr_with_hints(truth, gray, (0, 5, 100), seed=3, places="uniform") == psnrs


def write_cifar10(folder):
    """Writes small files in CIFAR-10's binary format."""
    rng = np.random.default_rng(0)
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]:
        records = rng.integers(0, 256, (20, 3073), np.uint8)
        records[:, 0] %= 10
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    return folder


def test_cifar10_has_its_own_tables(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, "_PHOTOS", 20)
    protocol = protocols.find("cifar10-kth")
    assert protocol.numbers == "test[:5000]"
    small = dataclasses.replace(protocol, numbers="test[:10]")
    monkeypatch.setitem(protocols.PROTOCOLS, "cifar10-kth", small)
    (tmp_path / "cifar").mkdir()
    data = write_cifar10(tmp_path / "cifar")
    options = {"suite": "cifar10-kth", "size": 0, "limit": 3, "methods": [str(runs / "one")]}
    result = evaluate.evaluate(ask(runs, data, tmp_path / "out", **options)).result
    assert result["tables"]["data"] == "CIFAR-10 train"
    assert result["photos"]["measured"] == 3
    metrics_of = result["rows"]["one"]["metrics"]
    assert metrics_of["mae_ab_127"]["mean"] == pytest.approx(
        metrics_of["mae_ab_8bit"]["mean"] / 127.5
    )
    assert len(photos.open_photos(small, str(data)).keys) == 10
    monkeypatch.setattr(parts.Work, "save", None)  # the same request measures nothing
    assert evaluate.evaluate(ask(runs, data, tmp_path / "out", **options)).result == result
    with pytest.raises(RequestError, match="an evaluation with different photos"):
        evaluate.evaluate(ask(runs, data, tmp_path / "out", **options | {"limit": 0}))


def test_ctest10k_ignores_the_aspect_ratio_and_uses_hints(tmp_path, monkeypatch):
    """The whole protocol with a network with hints, at 32 px instead of 256."""
    protocol = protocols.find("ctest10k")
    assert (protocol.crop, protocol.colorize_size) == (False, 256)
    assert (protocol.hint_counts[0], protocol.hint_counts[-1]) == (0, 100)
    small = dataclasses.replace(protocol, colorize_size=32, hint_counts=(0, 2))
    monkeypatch.setitem(protocols.PROTOCOLS, "ctest10k", small)
    fresh_workdir(tmp_path / "hinted", zhang17.get_config("size=32,width=0.125"), deviation=0.1)
    data = tmp_path / "data"
    data.mkdir()
    truths = []
    for number in protocols.numbers(protocol.numbers)[:2]:
        photo = Image.fromarray(synthetic_images(1, 48, seed=number)[0][:36])
        photo.save(data / f"ILSVRC2012_val_{number:08d}.JPEG", quality=95)
        stored = Image.open(data / f"ILSVRC2012_val_{number:08d}.JPEG")
        truths.append(np.asarray(stored.resize((32, 32), Image.Resampling.BICUBIC)))
    options = {"suite": "ctest10k", "size": 0, "limit": 2, "methods": [str(tmp_path / "hinted")]}
    result = evaluate.evaluate(ask(tmp_path, data, tmp_path / "out", **options)).result
    metrics_of = result["rows"]["hinted"]["metrics"]
    colorizer = Colorizer.load(tmp_path / "hinted")
    pictures = [colorizer.colorize(gray_photo(truth, "lightness")) for truth in truths]
    pairs = zip(pictures, truths, strict=True)
    psnr = np.mean(
        [10 * np.log10(255**2 / np.square(a - b.astype(float)).mean()) for a, b in pairs]
    )
    assert metrics_of["psnr"]["mean"] == pytest.approx(psnr, abs=1e-3)
    assert metrics_of["psnr_hints_0"]["mean"] == pytest.approx(psnr, abs=1e-3)
    assert metrics_of["psnr_hints_2"]["mean"] != metrics_of["psnr_hints_0"]["mean"]
    assert "psnr_hints_0" not in result["rows"]["grey"]["metrics"]
    table = (tmp_path / "out" / "result.md").read_text()
    assert "psnr_hints_0 ↑ | psnr_hints_2 ↑" in table


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"suite": "val6k"}, "unknown suite 'val6k'"),
        ({"size": 8}, "--size must be at least 16"),
        ({"suite": "val5k"}, "has its own size; omit --size"),
        ({"methods": ["nowhere"]}, "weights 'nowhere' not found"),
        ({"methods": ["mean=zhang16-small"]}, "every suite has a row 'mean'"),
        ({"tables": "nowhere"}, "nowhere"),
        ({"limit": -1}, "--limit must be at least 0, not -1"),
        ({"methods": ["reference=zhang16-small"]}, "every suite has a row 'reference'"),
    ],
)
def test_requests_that_mean_nothing(runs, album, tmp_path, options, message):
    with pytest.raises(RequestError, match=message):
        evaluate.evaluate(ask(runs, album, tmp_path / "out", **options))
    assert not (tmp_path / "out").exists()


def test_nothing_else_is_overwritten(runs, album, tmp_path):
    request = ask(runs, album, tmp_path / "out", limit=1, methods=[f"m={runs / 'one'}"])
    evaluate.evaluate(request)
    before = (tmp_path / "out" / "result.json").read_text()
    other = ask(runs, album, tmp_path / "out", limit=1, methods=[f"m={runs / 'two'}"])
    with pytest.raises(RequestError, match="other weights named 'm'"):
        evaluate.evaluate(other)
    with pytest.raises(RequestError, match=r"different protocol|different photos"):
        evaluate.evaluate(
            ask(runs, album, tmp_path / "out", limit=2, methods=[f"m={runs / 'one'}"])
        )
    with pytest.raises(RequestError, match="is inside --data"):
        evaluate.evaluate(ask(runs, album, album / "out", limit=1))
    assert (tmp_path / "out" / "result.json").read_text() == before
    (tmp_path / "theirs" / "work").mkdir(parents=True)
    (tmp_path / "theirs" / "work" / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(RequestError, match="holds 'work' but no evaluation"):
            evaluate.evaluate(ask(runs, album, tmp_path / "theirs", limit=1, overwrite=overwrite))
    assert (tmp_path / "theirs" / "work" / "thesis.txt").read_text() == "mine"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("mine")
    with pytest.raises(RequestError, match=r"holds 'index.html' but no evaluation"):
        evaluate.evaluate(ask(runs, album, tmp_path / "mine", limit=1))
    outcome = evaluate.evaluate(
        ask(runs, album, tmp_path / "out", limit=1, methods=[f"m={runs / 'two'}"], overwrite=True)
    )
    assert outcome.result["rows"]["m"]["digest"] == Colorizer.load(runs / "two").digest()
