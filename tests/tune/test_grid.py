"""`colorjax sweep`: names, tables over seeds, figures, exit status."""

import json

import numpy as np
import pytest
from PIL import Image

from colorjax import cli
from colorjax.errors import RequestError
from colorjax.evaluate import figure as figures
from colorjax.tune import grid
from colorjax.tune.grid import Field

FIELDS = [
    Field.parse("data.saturation=1.0,1.8"),
    Field.parse("model.edges=canny,off"),
    Field.parse("seed=0,1"),
]


def finish(run, **metrics):
    run.workdir.mkdir(parents=True)
    (run.workdir / "eval.json").write_text(json.dumps({"metrics": metrics}))


def test_every_combination_has_a_workdir(tmp_path):
    runs = grid.plan(FIELDS, tmp_path)
    assert len(runs) == len({run.workdir for run in runs}) == 8
    assert runs[1].workdir == tmp_path / "saturation=1.0_edges=canny_seed=1"
    assert runs[1].values == {"data.saturation": "1.0", "model.edges": "canny", "seed": "1"}


@pytest.mark.parametrize("text", ["", "seed", "seed=", "=1", "seed=1,,2", "seed=1,1"])
def test_invalid_fields_are_refused(text):
    with pytest.raises(RequestError, match="--vary is FIELD=VALUE"):
        Field.parse(text)


def test_seeds_become_mean_and_deviation(tmp_path):
    runs = grid.plan(FIELDS[::2], tmp_path)
    for run, value in zip(runs, (9.0, 10.0, 11.0, 14.0), strict=True):
        finish(run, mae_ab=value, other=value)
    rows = grid.summarize(runs)
    assert [row["values"] for row in rows] == [
        {"data.saturation": "1.0"},
        {"data.saturation": "1.8"},
    ]
    assert rows[1]["metrics"]["mae_ab"]["mean"] == 12.5
    assert rows[1]["metrics"]["mae_ab"]["deviation"] == pytest.approx(np.std([11, 14], ddof=1))
    lines = grid.table(rows).splitlines()
    assert lines[0] == "| data.saturation | seeds | mae_ab ↓ |"
    assert lines[3] == "| 1.8 | 2 | 12.50 ± 2.12 |"
    single = grid.summarize(runs[:1])
    assert single[0]["metrics"]["mae_ab"]["deviation"] is None
    assert "| 9.00 |" in grid.table(single)


def test_a_run_without_results_is_named(tmp_path):
    with pytest.raises(RequestError, match=r"seed=0' has no eval\.json"):
        grid.summarize(grid.plan(FIELDS[2:], tmp_path))


class Tinted:
    """A colorizer that sets the red channel by its workdir's factor."""

    def __init__(self, workdir):
        self.red = 255 if "1.8" in str(workdir) else 128

    def colorize(self, gray):
        return np.stack([np.full_like(gray[..., 0], self.red), gray[..., 1], gray[..., 2]], -1)


@pytest.fixture
def without_training(monkeypatch):
    """Replaces training and loading of weights; returns the requested runs."""
    requested = []

    def train(config, run, rest):
        requested.append((config, run.workdir.name, rest))
        if not run.workdir.exists():
            finish(run, mae_ab=float(len(requested)))
        return 0

    monkeypatch.setattr(grid, "_train", train)
    monkeypatch.setattr("colorjax.inference.colorizer.Colorizer.load", Tinted)
    return requested


def test_one_command_gives_table_and_figures(without_training, tmp_path, capsys):
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    arguments = ["--config=c.py", f"--workdir={tmp_path / 'sweep'}", "--config.data.path=P"]
    arguments += ["--vary", "data.saturation=1.0,1.8", "--vary", "config.model.edges=canny,off"]
    arguments += ["--vary", "seed=0,1", "--photos", str(tmp_path / "photo.png")]
    assert cli.run(["sweep", *arguments]) == 0
    assert len(without_training) == 8
    assert without_training[0][0] == "c.py"
    assert without_training[0][2] == ["--config.data.path=P"]
    written = {path.name for path in (tmp_path / "sweep").iterdir() if path.is_file()}
    assert written == {"sweep.md", "sweep.json", "sweep_edges=canny.png", "sweep_edges=off.png"}
    assert (tmp_path / "sweep" / "sweep.md").read_text() in capsys.readouterr().out
    figure = np.asarray(Image.open(tmp_path / "sweep" / "sweep_edges=off.png"))
    # gray, 1.0, 1.8, truth: cells of 128 px with gaps of 4, under a line of 22.
    assert figure.shape == (22 + 85 + 4, 4 * 132 - 4, 3)
    reds = [figure[60, left + 64, 0] for left in (132, 264)]
    assert reds == [128, 255]


@pytest.mark.parametrize("status", [2, 75])
def test_a_run_that_ends_early_ends_the_sweep(monkeypatch, tmp_path, status):
    monkeypatch.setattr(grid, "_train", lambda *_: status)
    arguments = ["sweep", "--config=c.py", f"--workdir={tmp_path / 's'}", "--vary", "seed=0"]
    assert cli.run(arguments) == status
    assert not (tmp_path / "s").exists()


def test_training_is_a_separate_process(monkeypatch, tmp_path):
    """Checks the command, and that its exit status is returned."""
    seen = []

    def spy(module, arguments, should_stop):
        seen.append((module, arguments, should_stop()))
        return 75

    monkeypatch.setattr(grid.child_process, "run_module", spy)
    run = grid.plan([Field.parse("model.edges=off")], tmp_path)[0]
    assert grid._train("configs/edge_fusion.py", run, ["--config.seed=1"]) == 75
    arguments = [
        "--config=configs/edge_fusion.py",
        f"--workdir={tmp_path / 'edges=off'}",
        "--config.model.edges=off",
        "--config.seed=1",
    ]
    assert seen == [("colorjax.main", arguments, False)]


def test_the_figure_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(figures.Colorizer, "load", lambda workdir, size=None: Tinted(workdir))
    photo = np.random.default_rng(0).integers(0, 256, (50, 40, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    arguments = [str(tmp_path / "photo.png"), "--column", "vivid=runs/1.8", "--cell", "80"]
    assert figures.run([*arguments, "--output", str(tmp_path / "f.png")]) == 0
    figure = np.asarray(Image.open(tmp_path / "f.png"))
    assert figure.shape == (22 + 100 + 4, 3 * 84 - 4, 3)
    np.testing.assert_array_equal(figure[22:122:2, 168::2], photo)  # enlarged pixel by pixel
    assert figures.run([*arguments, "--no-truth", "--output", str(tmp_path / "g.png")]) == 0
    assert Image.open(tmp_path / "g.png").width == 2 * 84 - 4
    capsys.readouterr()
    assert figures.run([*arguments, "--output", "f.gif"]) == 2
    assert figures.run(["none.png", "--output", str(tmp_path / "h.png")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
