"""The suite `hecd` on a small stand-in of the data set."""

import json

import numpy as np
import pytest
from helpers.synthetic import synthetic_images
from PIL import Image
from scipy import stats

from colorjax import color, metrics
from colorjax.cli import main as cli
from colorjax.errors import RequestError
from colorjax.evaluate import hecd

SCENES, PICTURES, SIDE = 4, 6, 32


@pytest.fixture
def folder(tmp_path):
    """Four scenes of six pictures: more distant colors are less natural, with noise."""
    rng = np.random.default_rng(0)
    root = tmp_path / "HECD"
    (root / "HECDImages").mkdir(parents=True)
    (root / "Data").mkdir()
    lines = ["Ground Truth File,Recolour File,Mean zScore"]
    for scene, image in enumerate(synthetic_images(SCENES, SIDE, seed=3)):
        truth = f"{scene}_gt.png"
        Image.fromarray(image).save(root / "HECDImages" / truth)
        lines.append(f"{truth},{truth},0.9")
        lab = color.rgb_u8_to_lab(image)
        for number in range(PICTURES):
            name = f"{scene}B_{number}.png"
            factor = np.array([1, 1 - 0.16 * number, 1 - 0.16 * number])
            picture = np.asarray(color.lab_to_rgb_u8((lab * factor).astype(np.float32)))
            Image.fromarray(picture).save(root / "HECDImages" / name)
            lines.append(f"{truth},{name},{0.5 - 0.3 * number + rng.normal(0, 0.4):.4f}")
    (root / "Data" / "mean_zscores.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.mark.slow
def test_coefficients_of_a_copy(folder, tmp_path, capsys):
    output = tmp_path / "out"
    arguments = ["evaluate", "--suite", "hecd", "--data", str(folder), "--output", str(output)]
    assert cli.run(arguments) == 0
    printed = capsys.readouterr().out
    assert f"hecd: {SCENES * PICTURES} pictures of {SCENES} scenes" in printed
    lines = {line.split()[0]: line for line in printed.splitlines() if line.strip()}
    result = json.loads((output / "result.json").read_text())
    assert result["pictures"] == SCENES * PICTURES
    opened = hecd.read(folder)
    assert not set(opened.truths) & set(opened.pictures)
    values = []
    for truth, name in zip(opened.truths, opened.pictures, strict=True):
        pair = [np.asarray(Image.open(folder / "HECDImages" / each)) for each in (name, truth)]
        values.append(float(metrics.psnr(*pair)))
    expected = stats.spearmanr(values, opened.opinions).statistic
    psnr = result["metrics"]["psnr"]
    assert psnr["spearman"]["mean"] == pytest.approx(expected, abs=1e-6)
    kendall = stats.kendalltau(values, opened.opinions).statistic
    assert psnr["kendall"]["mean"] == pytest.approx(kendall, abs=1e-6)
    within = [
        stats.spearmanr(values[k : k + PICTURES], opened.opinions[k : k + PICTURES]).statistic
        for k in range(0, SCENES * PICTURES, PICTURES)
    ]
    assert psnr["spearman_by_scene"]["mean"] == pytest.approx(np.mean(within), abs=1e-6)
    low, high = psnr["spearman"]["interval"]
    assert low < expected < high
    assert f"{expected:.3f}" in lines["psnr"]
    # A lower error is better: the sign follows the direction, as for the higher PSNR.
    assert result["metrics"]["mae_ab_8bit"]["spearman"]["mean"] > 0.3
    assert "difference" not in result["metrics"]["ms_ssim_ab"]
    rows = (output / "values.csv").read_text().splitlines()
    assert len(rows) == 1 + SCENES * PICTURES
    assert "psnr_of_mean_mse" not in rows[0]
    assert "| psnr ↑ |" in (output / "result.md").read_text()


def test_correlations_of_known_metrics():
    """A perfect metric, its opposite and noise; all scenes alike, so the intervals are points."""
    opinions = np.tile(np.arange(8.0), 5)
    noise = np.random.default_rng(0).normal(size=8)
    columns = {"psnr": opinions, "ms_ssim_ab": -opinions, "mae_rgb": -opinions}
    columns["colorfulness"] = np.tile(noise, 5)
    result = hecd.correlations(columns, opinions, np.repeat(list("abcde"), 8).tolist())
    ends = {"psnr": 1, "ms_ssim_ab": -1, "mae_rgb": 1}
    for metric, coefficient in ends.items():
        for name in ("spearman", "kendall", "spearman_by_scene", "kendall_by_scene"):
            assert result[metric][name]["mean"] == pytest.approx(coefficient)
            np.testing.assert_allclose(result[metric][name]["interval"], [coefficient] * 2)
    expected = stats.spearmanr(noise, np.arange(8.0)).statistic
    assert result["colorfulness"]["spearman"]["mean"] == pytest.approx(expected)
    assert result["colorfulness"]["difference"]["mean"] == pytest.approx(abs(expected) - 1)
    assert result["psnr"]["difference"]["mean"] == pytest.approx(0)


def test_wrong_requests(folder, tmp_path):
    with pytest.raises(RequestError, match="cannot be read; give the folder of a copy"):
        hecd.read(tmp_path)
    with pytest.raises(RequestError, match="is not empty"):
        hecd.evaluate(str(folder), str(folder / "Data"))
    (folder / "HECDImages" / "2B_3.png").unlink()
    with pytest.raises(RequestError, match=r"2B_3\.png' is missing"):
        hecd.read(folder)
    file = folder / "Data" / "mean_zscores.csv"
    file.write_text(file.read_text().replace("Mean zScore", "score"))
    with pytest.raises(RequestError, match="has other columns"):
        hecd.read(folder)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["semantic-lite0", "--suite", "hecd"], "omit 'semantic-lite0'"),
        (["--suite", "hecd", "--size", "64"], "no --size; omit it"),
        (["--suite", "folder"], "name a METHOD"),
    ],
)
def test_the_command_refuses(folder, tmp_path, capsys, more, message):
    arguments = ["--data", str(folder), "--output", str(tmp_path / "out")]
    assert cli.run(["evaluate", *more, *arguments]) == 2
    assert message in capsys.readouterr().err
