"""The suite `ask`, with a tiny network and with fake suggestions."""

import json

import numpy as np
import pytest
from helpers.synthetic import synthetic_images
from PIL import Image
from skimage.color import rgb2lab

from colorjax import metrics
from colorjax.cli import main as cli
from colorjax.color import gray_photo
from colorjax.evaluate import ask
from colorjax.inference.colorizer import Colorizer
from colorjax.inference.suggestions import Suggestion


@pytest.fixture(scope="module")
def colorizer(zhang16_workdir):
    return Colorizer.load(zhang16_workdir)


def test_the_true_color_is_the_mean_of_a_square():
    truth = np.zeros((300, 400, 3), np.uint8)
    truth[95:105, 195:205] = [200, 100, 60]
    assert ask.true_color(truth, 200, 100) == "#c8643c"
    assert ask.true_color(truth, 0, 0) == "#000000"


def test_the_user_picks_the_nearest_suggestion():
    given = [Suggestion("#808080", 0.7), Suggestion("#a07060", 0.2), Suggestion("#6080a0", 0.1)]
    chosen, distance = ask._nearest(given, "#9c7464")
    assert chosen == "#a07060"
    two = rgb2lab(np.array([[[0xA0, 0x70, 0x60], [0x9C, 0x74, 0x64]]], np.uint8))[0, :, 1:]
    assert distance == pytest.approx(np.linalg.norm(two[0] - two[1]), abs=0.05)


def test_a_record_is_that_of_the_answers(colorizer):
    truth = synthetic_images(1, 64, seed=5)[0]
    record = ask.play(colorizer, truth, 0)
    photo = colorizer.prepare(gray_photo(truth))
    answers = []
    for _ in range(5):
        (question,) = photo.ask(1, answers)
        code = ask.true_color(truth, question.x, question.y)
        answers.append((question.x, question.y, ask._nearest(question.suggestions, code)[0]))
    wanted = float(metrics.psnr(photo.colorize(answers), truth))
    assert record["psnr_answers_5"] == pytest.approx(wanted)
    assert record["psnr_hints_0"] == pytest.approx(float(metrics.psnr(photo.colorize(), truth)))
    assert 0 <= record["near_asked"] <= 1
    assert record["psnr_asked_truths_10"] > record["psnr_hints_0"]


def test_the_suite_runs_and_continues(tmp_path, zhang16_workdir, capsys, monkeypatch):
    (tmp_path / "album").mkdir()
    for number, photo in enumerate(synthetic_images(2, 48)):
        Image.fromarray(photo).save(tmp_path / "album" / f"{number}.png")
    played = []

    def play(colorizer, truth, seed):
        played.append(seed)
        return {name: float(seed) for name in ask._TITLES}

    monkeypatch.setattr(ask, "play", play)
    root = str(zhang16_workdir)
    arguments = ["evaluate", root, "--suite", "ask", "--data", str(tmp_path / "album")]
    arguments += ["--output", str(tmp_path / "out")]
    for _ in range(2):
        assert cli.run(arguments) == 0
    assert played == [0, 1]
    assert "PSNR with 5 answers, dB" in capsys.readouterr().out
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["metrics"]["psnr_answers_5"]["mean"] == 0.5
    assert result["photos"] == 2


@pytest.mark.parametrize(
    ("more", "says"),
    [(["--size", "32"], "the suite ask has no --size"), (["semantic-lite0"], "takes one METHOD")],
)
def test_refusals(tmp_path, zhang16_workdir, capsys, more, says):
    root = str(zhang16_workdir)
    arguments = ["evaluate", root, *more, "--suite", "ask", "--data", str(tmp_path)]
    assert cli.run([*arguments, "--output", str(tmp_path / "out")]) == 2
    assert says in capsys.readouterr().err


def test_weights_that_cannot_ask(tmp_path, workdir, capsys):
    Image.fromarray(synthetic_images(1, 48)[0]).save(tmp_path / "a.png")
    arguments = ["evaluate", str(workdir), "--suite", "ask", "--data", str(tmp_path)]
    assert cli.run([*arguments, "--output", str(tmp_path / "out")]) == 2
    assert "predict no distribution over color bins" in capsys.readouterr().err
