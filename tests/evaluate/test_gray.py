"""Photos without color: eval.json, `evaluate` and `compare` leave the same metrics out."""

import json

import pytest
from helpers.synthetic import synthetic_images, tiny_config
from helpers.workdirs import fresh_workdir
from PIL import Image

from colorjax import color, evaluate
from colorjax.evaluate.compare import compare
from colorjax.train import report
from colorjax.weights.workdir import Workdir


@pytest.mark.slow
def test_only_gray_photos_have_neither_psnr_nor_chroma_ratio_in_any_command(tmp_path):
    album = tmp_path / "album"
    for number, photo in enumerate(synthetic_images(12, 32, seed=6)):
        path = album / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(color.gray_photo(photo)).save(path)
    config = tiny_config(album)
    run = fresh_workdir(tmp_path / "run", config, deviation=0.1)
    assert report.evaluate_only(config, str(run)) == 0
    content = json.loads(Workdir(run).eval_file.read_text())
    assert content["num_grey"] == content["num_images"] > 0
    request = evaluate.Request([str(run)], "folder", str(album), str(tmp_path / "evaluate"))
    result = evaluate.evaluate(request).result
    compared = compare([run], album, tmp_path / "compare").report
    measured = [content["metrics"], *content["baselines"].values()]
    measured += [row["metrics"] for row in result["rows"].values()]
    measured += [row["metrics"] for row in compared["methods"].values()]
    for each in measured:
        assert "psnr_of_mean_mse" in each
        assert not [name for name in each if name.startswith(("psnr", "chroma_ratio"))][1:]
