"""`colorjax compare`: metrics against NumPy and scikit-image, what is written, and refusals."""

import html.parser
import json
import subprocess
import sys
from urllib.parse import unquote

import numpy as np
import pytest
from helpers.synthetic import synthetic_images, tiny_config
from helpers.workdirs import fresh_workdir
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import structural_similarity

from colorjax import color
from colorjax.cli import main as cli
from colorjax.data.selection import draw
from colorjax.errors import RequestError
from colorjax.evaluate import entries
from colorjax.evaluate.compare import compare


def save(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture
def truths():
    names = ("a/x.png", "a/y.png", "z.png", "grey.png")
    images = synthetic_images(3, 24, seed=3)
    images[2] = images[2][:9, :20]  # too low for ssim
    return dict(zip(names, [*images, color.gray_photo(synthetic_images(1, 20)[0])], strict=True))


@pytest.fixture
def album(tmp_path, truths):
    for name, image in truths.items():
        save(image, tmp_path / "album" / name)
    return tmp_path / "album"


@pytest.fixture
def finished(tmp_path, truths):
    """Pictures of another program: the truth with noise, with three forms of names."""
    rng = np.random.default_rng(1)
    made = {}
    for key, name in zip(
        truths, ("a/x.png", "y.color.png", "z.color.bmp", "grey.png"), strict=True
    ):
        noise = rng.integers(-30, 31, truths[key].shape)
        made[key] = np.clip(truths[key] + noise, 0, 255).astype(np.uint8)
        save(made[key], tmp_path / "finished" / name)
    return tmp_path / "finished", made


def tree(root):
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def chroma(rgb):
    return np.hypot(*np.moveaxis(rgb2lab(rgb)[..., 1:], -1, 0)).mean()


def test_metrics_of_finished_pictures(album, finished, truths, tmp_path):
    """Against scikit-image's Lab, CIEDE2000 and SSIM."""
    folder, made = finished
    comparison = compare([folder], album, tmp_path / "out")
    pairs = [(made[key], truth) for key, truth in truths.items()]
    labs = [(rgb2lab(a), rgb2lab(b)) for a, b in pairs]
    squares = [np.square(a.astype(float) - b).mean() for a, b in pairs]

    def colorfulness(rgb):
        red, green, blue = np.moveaxis(rgb.astype(float), -1, 0)
        rg, yb = red - green, (red + green) / 2 - blue
        spread, middle = np.hypot(rg.std(), yb.std()), np.hypot(rg.mean(), yb.mean())
        return spread + 0.3 * middle

    def within(percent):
        limits = np.array([percent, 2.2 * percent + 1e-9, 2.2 * percent + 1e-9])
        return np.mean([(abs(a.round() - b.round()) <= limits).all(-1).mean() for a, b in labs])

    ssim = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    ssim |= {"data_range": 255, "channel_axis": -1}
    wanted = {
        "mae_ab_8bit": np.mean([abs(a - b)[..., 1:].mean() for a, b in labs]),
        "delta_e_2000": np.mean([deltaE_ciede2000(a, b).mean() for a, b in labs]),
        "psnr": np.mean([10 * np.log10(255**2 / mse) for mse in squares[:3]]),  # not of gray
        "psnr_of_mean_mse": 10 * np.log10(255**2 / np.mean(squares)),
        "colorfulness": np.mean([colorfulness(a) for a, _ in pairs]),
        "chroma_ratio_8bit": sum(chroma(a) for a, _ in pairs) / sum(chroma(b) for _, b in pairs),
        "accuracy_2": within(2),
        "accuracy_5": within(5),
    }
    for name, value in wanted.items():
        assert comparison.mean("finished", name) == pytest.approx(value, rel=3e-3, abs=3e-3), name
    about_ssim = comparison.report["methods"]["finished"]["metrics"]["ssim"]
    some = [structural_similarity(*pairs[i], **ssim) for i in (0, 1, 3)]
    assert about_ssim["mean"] == pytest.approx(np.mean(some), abs=1e-4)
    assert about_ssim["num_photos"] == 3
    report = comparison.report
    assert report["methods"]["finished"]["metrics"]["psnr"]["num_photos"] == 3
    assert (report["num_photos"], report["num_grey_photos"]) == (4, 1)
    assert comparison.mean("grey", "colorfulness") == 0
    difference = report["methods"]["grey"]["difference"]["mae_ab_8bit"]
    both = comparison.mean("grey", "mae_ab_8bit"), comparison.mean("finished", "mae_ab_8bit")
    assert difference["mean"] == pytest.approx(both[0] - both[1])
    assert report["methods"]["finished"]["difference"] is None


def test_the_truth_as_a_method_has_no_error(album, tmp_path):
    comparison = compare([f"perfect={album}"], album, tmp_path / "out", photos=2)
    assert comparison.mean("perfect", "mae_ab_8bit") == 0
    assert comparison.mean("perfect", "ssim") == pytest.approx(1)
    assert comparison.mean("perfect", "chroma_ratio_8bit") == pytest.approx(1, abs=1e-2)
    assert comparison.mean("grey", "mae_ab_8bit") > 1


class Links(html.parser.HTMLParser):
    """Collects the links of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.tags, self.text = [], set(), ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.links += [value for name, value in attributes if name in ("href", "src")]

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return fresh_workdir(tmp_path_factory.mktemp("run"), tiny_config("unused"), deviation=0.1)


def test_weights_and_all_that_is_written(workdir, truths, tmp_path, capsys):
    name = "<b>R&D|"
    shown = {"a": truths["a/x.png"], "b#1 %41 <i>'\"": truths["a/y.png"]}
    paths = [tmp_path / "in" / f"{stem}.png" for stem in shown]
    for path, image in zip(paths, shown.values(), strict=True):
        save(image, path)
    arguments = ["compare", f"{name}={workdir}", f"copy={tmp_path / 'in'}"]
    arguments += [w for path in reversed(paths) for w in ("--data", str(path))]
    assert cli.run([*arguments, "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert [line.split(":")[0] for line in printed.err.splitlines()] == [
        "[1/2] copy",
        f"[2/2] {name}",
    ]
    root = tmp_path / "out"
    files = {p for p in tree(root) if p.startswith("pictures/")}
    wanted = {f"pictures/{m}/{s}.png" for m in ("grey", name, "copy", "truth") for s in shown}
    assert files == wanted
    assert set(tree(root)) - files == {"figure.png", "metrics.json", "metrics.md", "index.html"}
    report = json.loads((root / "metrics.json").read_text())
    assert list(report["methods"]) == ["grey", name, "copy"]
    assert report["methods"][name]["step"] == 7
    assert report["shown"] == [path.name for path in reversed(paths)]  # in the given order
    assert (root / "metrics.md").read_text() in printed.out
    assert "&lt;b>R&D\\| |" in printed.out
    page = Links((root / "index.html").read_text())
    assert {unquote(link) for link in page.links} == files | {"figure.png"}
    assert all((root / unquote(link)).is_file() for link in page.links)
    assert not page.tags & {"b", "i", "script", "link"}
    assert name in page.text
    assert Image.open(root / "figure.png").size == (4 * 204 - 4, 22 + 2 * 204)
    truth = np.asarray(Image.open(root / "pictures" / "truth" / "a.png"))
    np.testing.assert_array_equal(truth, shown["a"])
    colored = np.asarray(Image.open(root / "pictures" / name / "a.png"))
    lightness = rgb2lab(colored)[..., 0] - rgb2lab(shown["a"])[..., 0]
    assert abs(lightness).max() < 1
    assert chroma(colored) > 0.1


def test_a_seed_selects_the_photos(tmp_path):
    for number, image in enumerate(synthetic_images(30, 12)):
        save(image, tmp_path / "album" / f"{number}.png")
    arguments = [tmp_path / "album"], tmp_path / "album"

    def run(folder, **options):
        return compare(*arguments, tmp_path / folder, **options).report

    first, again = (run(n, photos=3, metric_photos=5, seed=4) for n in "ab")
    assert first | {"command": ""} == again | {"command": ""}
    assert (len(first["shown"]), len(first["measured"])) == (3, 5)
    assert first["measured"][:3] == first["shown"]
    more = run("c", photos=5, metric_photos=0, seed=4)
    assert more["shown"] == first["measured"]
    assert sorted(more["measured"]) == sorted(f"{n}.png" for n in range(30))
    assert run("d", photos=3, seed=5)["shown"] != first["shown"]
    default = run("e")
    assert (default["seed"], len(default["shown"]), len(default["measured"])) == (0, 8, 30)


def test_unreadable_photos_are_skipped_and_named(album, tmp_path, capsys):
    (album / "broken.jpg").write_bytes(b"no photo")
    arguments = [
        "compare",
        f"copy={album}",
        "--data",
        str(album),
        "--output",
        str(tmp_path / "out"),
    ]
    assert cli.run(arguments) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("colorjax: skipped broken.jpg: ")
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert report["num_photos"] == 4
    for name in tree(album):
        (album / name).write_bytes(b"no photo")
    assert cli.run([*arguments, "--overwrite"]) == 2
    assert "no photo of --data can be read" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == report


def test_results_next_to_photos_are_pictures_not_photos(album, truths, tmp_path):
    """As written by `colorize` without --output; they are measured, not the photos themselves."""
    for key, truth in truths.items():
        save(color.gray_photo(truth), (album / key).with_suffix(".color.png"))
    comparison = compare([f"pale={album}"], album, tmp_path / "out")
    assert sorted(comparison.report["measured"]) == sorted(truths)
    assert comparison.mean("pale", "mae_ab_8bit") == comparison.mean("grey", "mae_ab_8bit")


def test_wrong_requests(album, finished, tmp_path, capsys):
    out, folder = tmp_path / "out", finished[0]

    def refused(*arguments, data=album):
        command = ["compare", *map(str, arguments), "--data", str(data)]
        assert cli.run([*command, "--output", str(out)]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert not out.exists()
        return printed.err.splitlines()[-1]

    assert "two methods are named 'finished'" in refused(folder, f"finished={album}")
    assert "column 'Grey'" in refused(f"Grey={folder}")
    assert "name is used for a folder" in refused(f"..={folder}")
    assert "zhang16-small" in refused(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "contains neither pictures nor" in refused(tmp_path / "empty")
    assert "does not exist" in refused(folder, data=tmp_path / "none")
    assert "no photos in" in refused(folder, data=tmp_path / "empty")
    assert "--photos must be at least 1" in refused(folder, "--photos=0")
    assert "--metric-photos must be at least" in refused(folder, "--photos=3", "--metric-photos=2")
    assert "do not mix" in refused(folder, "--data", folder)
    assert "--seed must be at least 0" in refused(folder, "--seed=-1")
    good = (folder / "grey.png").read_bytes()
    (folder / "grey.png").write_bytes(good[:40])
    assert f"{str(folder / 'grey.png')!r} cannot be read" in refused(folder)
    (folder / "grey.png").write_bytes(good)
    (folder / "y.color.png").rename(folder / "w.png")
    assert "no picture of 'a/y.png'" in refused(folder)
    save(np.zeros((24, 25, 3), np.uint8), folder / "y.png")
    message = refused(folder)
    assert str(folder / "y.png") in message
    assert "25x24" in message
    assert "'a/y.png' 24x24" in message
    (folder / "y.jpg").write_bytes(b"")
    assert "both match" in refused(folder)


def test_one_flat_picture_never_matches_two_photos(truths, tmp_path):
    for folder in ("a", "b"):
        save(truths["a/x.png"], tmp_path / "album" / folder / "x.png")
    save(truths["a/x.png"], tmp_path / "flat" / "x.png")
    with pytest.raises(RequestError, match=r"has no picture of '[ab]/x\.png'"):
        compare([tmp_path / "flat"], tmp_path / "album", tmp_path / "out")


def test_existing_files_are_kept(album, tmp_path):
    out = tmp_path / "out"
    compare([f"copy={album}"], album, out)
    with pytest.raises(RequestError, match="holds a comparison"):
        compare([f"copy={album}"], album, out)
    (out / "mine.txt").write_text("mine")
    compare([f"other={album}"], album, out, photos=1, overwrite=True)
    assert sorted(p.name for p in (out / "pictures").iterdir()) == ["grey", "other", "truth"]
    assert len(tree(out)) == 5 + 3
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("mine")
    with pytest.raises(RequestError, match=r"holds 'index\.html' but no comparison"):
        compare([f"copy={album}"], album, tmp_path / "site", overwrite=True)
    with pytest.raises(RequestError, match="is inside the input folder"):
        compare([f"copy={album}"], album, album / "out")


def test_names_of_methods(tmp_path, workdir):
    (tmp_path / "edges=off").mkdir()
    parsed = entries.parse([tmp_path / "edges=off", "zhang16-small", f"a=b={workdir}"[2:]])
    assert [(m.name, m.kind) for m in parsed] == [
        ("edges=off", "pictures"),
        ("zhang16-small", "weights"),
        ("b", "weights"),
    ]


def test_two_photos_that_differ_in_their_suffix_stay_separate(tmp_path, truths):
    for suffix in ("png", "bmp"):
        save(truths["a/x.png"], tmp_path / "album" / f"x.{suffix}")
    compare([f"copy={tmp_path / 'album'}"], tmp_path / "album", tmp_path / "out")
    assert len(list((tmp_path / "out" / "pictures" / "truth").iterdir())) == 2


def test_photo_files_are_named_below_what_they_share(tmp_path, truths):
    paths = [tmp_path / "b" / "2.png", tmp_path / "a" / "1.png"]
    for path in paths:
        save(truths["a/x.png"], path)
    chosen = draw.choose(paths)
    assert (chosen.keys, list(chosen.order), chosen.num_shown) == (
        ["b/2.png", "a/1.png"],
        [0, 1],
        2,
    )
    assert draw.choose(paths, photos=1, seed=3).num_shown == 1
    with pytest.raises(RequestError, match="given twice"):
        draw.choose([*paths, paths[0]])


def test_help_does_not_wait_for_jax():
    code = (
        "import sys; from colorjax import cli; cli.run(['compare', '--help'])\n"
        "assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
