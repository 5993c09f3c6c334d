import json
import os
import shutil
import signal

import numpy as np
import pytest
from helpers.program import TIMES
from helpers.synthetic import tiny_config
from PIL import Image

from colorjax.errors import RequestError
from colorjax.train import loop, steps
from colorjax.train import report as train_report
from colorjax.train.report import Reporter
from colorjax.weights.workdir import Workdir


def read_metrics(workdir):
    lines = Workdir(workdir).read_metrics()
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory):
    """Six steps with evaluations at 3 and 6, and the number of traces of the step."""
    workdir = tmp_path_factory.mktemp("runs") / "finished"
    traces = []
    build = steps.build_train_step

    def counting(*args, **options):
        step = build(*args, **options)
        return lambda *a: (traces.append(1), step(*a))[1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "build_train_step", counting)
        assert loop.train_and_evaluate(tiny_config(photos), str(workdir)) == loop.DONE
    return workdir, len(traces)


def test_workdir_holds_what_the_contract_says(finished):
    workdir, traces = finished
    assert traces == 1
    names = {path.name for path in workdir.iterdir()}
    wanted = "config.json versions.json metrics.jsonl eval.json checkpoints tensorboard images"
    assert set(wanted.split()) <= names
    report = json.loads((workdir / "eval.json").read_text())
    assert {"step", "protocol", "dataset", "num_images", "metrics", "baselines"} <= report.keys()
    assert set(report["baselines"]) == {"grey", "mean", "per_lightness"}
    metrics = {
        "mae_ab",
        "rmse_ab",
        "psnr",
        "psnr_of_mean_mse",
        "ssim",
        "colorfulness",
        "colorfulness_abs",
        "chroma_ratio",
        "auc",
        "auc_rebalanced",
        "delta_e_2000",
        "accuracy_2",
        "accuracy_5",
        "accuracy_ab_2",
        "accuracy_ab_5",
        "bias_a",
        "bias_b",
        "true_colorfulness",
        "mae_rgb",
    }
    for actual in (report["metrics"], *report["baselines"].values()):
        assert set(actual) == metrics
    grid = np.asarray(Image.open(sorted((workdir / "images").iterdir())[-1]))
    assert grid.shape[1] == 3 * 32
    tint = np.ptp(grid.astype(int), axis=-1)
    assert tint[:, :32].max() <= 1  # gray, up to rounding
    assert tint[:, 64:].max() > 50  # truth


def test_the_split_is_saved_with_the_run(finished):
    with np.load(finished[0] / "split.npz") as file:
        parts = dict(file)
    assert set(parts) == {"train", "validation", "eval"}
    together = np.concatenate(list(parts.values()))
    assert sorted(together) == list(range(40))  # each photo is in exactly one part
    assert json.loads((finished[0] / "eval.json").read_text())["num_images"] == len(parts["eval"])


def test_another_split_is_reported_and_the_picture_of_hues_is_kept(tmp_path, caplog):
    workdir = Workdir(tmp_path)
    workdir.images.mkdir()
    first = {"train": np.arange(3), "validation": np.arange(3, 5)}
    workdir.keep_split(first, None)
    workdir.keep_split(first, Image.new("RGB", (4, 4)))
    assert "changed" not in caplog.text
    assert [path.name for path in workdir.images.iterdir()] == ["hue_histograms.png"]
    workdir.keep_split(first | {"train": np.arange(4)}, None)
    assert "the photos of this run have changed since its start" in caplog.text
    (tmp_path / "split.npz").write_bytes(b"damaged")
    workdir.keep_split(first, None)
    assert workdir._read_split()["train"].tolist() == [0, 1, 2]


def test_metrics_have_a_line_each_log_step(finished):
    lines = read_metrics(finished[0])
    trained = [line for line in lines if "train/loss" in line]
    assert [line["step"] for line in trained] == [1, 2, 3, 4, 5, 6]
    assert {"train/loss", "train/mse", "train/grad_norm", "train/learning_rate"} <= trained[
        0
    ].keys()
    assert trained[-1]["train/loss"] < trained[0]["train/loss"]
    evaluated = [line["step"] for line in lines if "eval/mae_ab" in line]
    assert evaluated[:2] == [3, 6]
    assert [line["step"] for line in lines if "validation/mae_ab" in line] == [3, 6]


def test_tensorboard_has_scalars_pictures_and_texts(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished[0] / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {"train/loss", "train/grad_norm", "train/wait_share", "eval/psnr"} <= set(
        tags["scalars"]
    )
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]
    assert tags["images"] == ["eval/grey_prediction_truth"]
    texts = [tag for tag in tags["tensors"] if tag.endswith("text_summary")]
    assert {tag.split("/")[0] for tag in texts} == {"config", "parameters"}
    shown = {
        tag for tag in tags["scalars"] if not tag.startswith(("train/", "validation/", "final/"))
    }
    baselines = {
        f"trivial/{name}/{metric}"
        for name in ("gray", "per_lightness")
        for metric in ("psnr", "mae_ab")
    }
    own = {
        "eval/psnr",
        "above_gray/psnr",
        "eval/mae_ab",
        "eval/auc",
        "eval/ssim",
        "eval/chroma_ratio",
    }
    assert shown == own | baselines
    (psnr, *_), (gray, *_) = events.Scalars("eval/psnr"), events.Scalars("trivial/gray/psnr")
    (gain, *_) = events.Scalars("above_gray/psnr")
    assert gain.value == pytest.approx(psnr.value - gray.value, abs=1e-4)
    assert "custom_scalars__config__" in tags["tensors"]


def test_tensorboard_compares_runs_by_fields(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    events = EventAccumulator(str(finished[0] / "tensorboard"))
    events.Reload()
    stored = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    fields = HParamsPluginData.FromString(stored).session_start_info.hparams
    assert fields["batch_size"].number_value == 4
    assert fields["loss.name"].string_value


def test_the_curves_of_a_run_with_a_best_checkpoint_never_go_backward(photos, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    # A rate of 20 makes the first weights the best ones.
    config = tiny_config(photos, **{"optimizer.learning_rate": 20.0})
    assert loop.train_and_evaluate(config, str(tmp_path)) == loop.DONE
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    for tag in events.Tags()["scalars"]:
        steps = [event.step for event in events.Scalars(tag)]
        assert steps == sorted(set(steps)), tag
    assert [event.step for event in events.Scalars("final/psnr")] == [3]
    assert json.loads((tmp_path / "eval.json").read_text())["step"] == 3


def test_a_finished_run_refuses_another_loss_and_keeps_its_config(finished, photos, tmp_path):
    workdir = tmp_path / "copy"
    shutil.copytree(finished[0], workdir)
    before = (workdir / "config.json").read_bytes()
    with pytest.raises(
        RequestError, match=r"finished run; a changed loss\.name would have no effect"
    ):
        loop.train_and_evaluate(tiny_config(photos, **{"loss.name": "l1"}), str(workdir))
    assert (workdir / "config.json").read_bytes() == before
    # The same command, or other fields of the log, train nothing and write nothing.
    assert loop.train_and_evaluate(tiny_config(photos, log_every=3), str(workdir)) == loop.DONE
    assert (workdir / "config.json").read_bytes() == before


def test_a_calibrated_run_stays_calibrated_when_its_command_is_repeated(finished, photos, tmp_path):
    workdir = tmp_path / "copy"
    shutil.copytree(finished[0], workdir)
    stored = json.loads((workdir / "config.json").read_text())
    stored["inference"]["saturation"] = 1.2
    (workdir / "config.json").write_text(json.dumps(stored))
    assert loop.train_and_evaluate(tiny_config(photos), str(workdir)) == loop.DONE
    assert json.loads((workdir / "config.json").read_text())["inference"]["saturation"] == 1.2


def test_resumed_run_is_bitwise_the_uninterrupted_one(finished, photos, tmp_path, caplog):
    workdir = tmp_path / "resumed"
    loop.train_and_evaluate(tiny_config(photos, total_steps=3), str(workdir))
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "train/loss": 1}\n{"step": 5, "tr')  # left by a crash
    with caplog.at_level("INFO", "colorjax"):
        loop.train_and_evaluate(tiny_config(photos), str(workdir))
    assert "resuming from step 3" in caplog.text
    actual, expected = read_metrics(workdir), read_metrics(finished[0])
    train = [[line for line in lines if "train/loss" in line] for lines in (actual, expected)]
    assert train[0] == train[1]
    evals = [[line for line in lines if "eval/mae_ab" in line] for lines in (actual, expected)]
    assert evals[0][-1] == evals[1][-1]


def test_a_damaged_best_checkpoint_gives_way_to_the_newest(finished, photos, tmp_path, caplog):
    workdir = tmp_path / "copy"
    shutil.copytree(finished[0], workdir)
    for path in (workdir / "checkpoints" / "best").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    assert train_report.evaluate_only(tiny_config(photos), str(workdir)) == loop.DONE
    assert json.loads((workdir / "eval.json").read_text())["step"] == 6
    assert "is damaged" in caplog.text


def test_the_stored_saturation_counts_in_an_evaluation(finished, photos, tmp_path):
    workdir = tmp_path / "copy"
    shutil.copytree(finished[0], workdir)
    stored = json.loads((workdir / "config.json").read_text())
    stored["inference"]["saturation"] = 0.0
    (workdir / "config.json").write_text(json.dumps(stored))
    config = tiny_config(photos, **{"inference.saturation": 2.0})
    assert train_report.evaluate_only(config, str(workdir)) == loop.DONE
    report = json.loads((workdir / "eval.json").read_text())
    for metric in ("mae_ab", "psnr"):
        assert report["metrics"][metric] == pytest.approx(report["baselines"]["grey"][metric])
    assert "the predicted ab times 0" in report["protocol"]


@pytest.mark.slow
def test_clipping_may_be_turned_on_in_the_middle(photos, tmp_path, finished):
    workdir = tmp_path / "copy"
    shutil.copytree(finished[0], workdir)
    config = tiny_config(photos, total_steps=7, **{"optimizer.clip_norm": 1.0})
    assert loop.train_and_evaluate(config, str(workdir)) == loop.DONE


@pytest.mark.slow
def test_an_evaluation_cut_short_is_made_up_for(finished, photos, tmp_path, monkeypatch):
    """Stopped between the two evaluations of step 3: nothing is repeated or missing."""
    workdir = tmp_path / "cut"
    validate = Reporter.validate

    def then_stop(self, step, variables):
        actual = validate(self, step, variables)
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return actual

    monkeypatch.setattr(Reporter, "validate", then_stop)
    assert loop.train_and_evaluate(tiny_config(photos), str(workdir)) == loop.STOPPED
    monkeypatch.undo()
    assert loop.train_and_evaluate(tiny_config(photos), str(workdir)) == loop.DONE
    assert read_metrics(workdir) == read_metrics(finished[0])


def test_a_finished_run_ends_at_once_and_pays_the_evaluation_it_owes(finished, photos, caplog):
    workdir = finished[0]
    before = (workdir / "metrics.jsonl").read_text()
    report = json.loads((workdir / "eval.json").read_text())
    assert loop.train_and_evaluate(tiny_config(photos), str(workdir)) == loop.DONE
    assert (workdir / "metrics.jsonl").read_text() == before
    (workdir / "eval.json").unlink()
    assert loop.train_and_evaluate(tiny_config(photos), str(workdir)) == loop.DONE
    again = json.loads((workdir / "eval.json").read_text())
    assert again["metrics"] == pytest.approx(report["metrics"], rel=1e-6)


def test_evaluation_does_not_depend_on_the_batch_size(finished, photos):
    workdir = finished[0]
    report = json.loads((workdir / "eval.json").read_text())
    config = tiny_config(photos, **{"evaluation.batch_size": 8})
    assert train_report.evaluate_only(config, str(workdir)) == loop.DONE
    again = json.loads((workdir / "eval.json").read_text())
    assert again["num_images"] == report["num_images"]
    assert again["step"] == report["step"]
    assert again["metrics"] == pytest.approx(report["metrics"], rel=1e-5)
    for name, metrics in report["baselines"].items():
        assert again["baselines"][name] == pytest.approx(metrics, rel=1e-5)


def test_a_signal_saves_and_the_next_start_goes_on(finished, photos, tmp_path):
    workdir, done = tmp_path / "stopped", []

    def stop_after_two(step):
        done.append(step)
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    config = tiny_config(photos)
    assert loop.train_and_evaluate(config, str(workdir), after_step=stop_after_two) == loop.STOPPED
    assert done == [1, 2]
    assert (workdir / "checkpoints/2").is_dir()
    assert loop.train_and_evaluate(tiny_config(photos), str(workdir)) == loop.DONE
    losses = [
        [line["train/loss"] for line in read_metrics(w) if "train/loss" in line]
        for w in (workdir, finished[0])
    ]
    assert losses[0] == losses[1]


def test_a_loss_that_is_not_finite_stops_the_run_unsaved(photos, tmp_path):
    config = tiny_config(photos, **{"optimizer.name": "sgd", "optimizer.learning_rate": 1e30})
    with pytest.raises(RequestError, match=r"step [23]: the loss is (nan|inf)"):
        loop.train_and_evaluate(config, str(tmp_path / "nan"))
    saved = [p.name for p in (tmp_path / "nan" / "checkpoints").iterdir() if p.name.isdigit()]
    assert saved == []


def test_patience_ends_a_run_and_the_best_is_kept(photos, tmp_path):
    changes = {
        "optimizer.name": "sgd",
        "optimizer.learning_rate": 0.0,
        "total_steps": 8,
        "eval_every": 1,
        "early_stopping.patience": 2,
    }
    workdir = tmp_path / "patient"
    config = tiny_config(photos, **changes)
    assert loop.train_and_evaluate(config, str(workdir)) == loop.DONE
    lines = read_metrics(workdir)
    values = {x["step"]: x["validation/mae_ab"] for x in lines if "validation/mae_ab" in x}
    best = min(values, key=values.get)
    assert max(values) == best + 2 < 8
    kept = [path.name for path in (workdir / "checkpoints" / "best").iterdir()]
    assert kept == [str(best)]
    assert json.loads((workdir / "eval.json").read_text())["step"] == best
    assert loop.train_and_evaluate(config, str(workdir)) == loop.DONE  # still finished


@pytest.mark.slow
def test_init_from_takes_the_weights(finished, photos, tmp_path):
    config = tiny_config(
        photos,
        init_from=str(finished[0]),
        total_steps=1,
        **{"optimizer.learning_rate": 0.0, "data.eval_fraction": 0.2},
    )
    assert loop.train_and_evaluate(config, str(tmp_path / "second")) == loop.DONE
    first = next(x for x in read_metrics(finished[0]) if "train/loss" in x)
    second = next(x for x in read_metrics(tmp_path / "second") if "train/loss" in x)
    assert second["train/loss"] < first["train/loss"]  # same batch, trained weights
    other = tiny_config(photos, init_from=str(finished[0]), **{"model.kernel_size": 5})
    with pytest.raises(RequestError, match="do not fit the PlainCNN of this config"):
        loop.train_and_evaluate(other, str(tmp_path / "third"))


@pytest.mark.slow
def test_averaged_weights_are_evaluated_and_resumed(photos, tmp_path):
    changes = {"optimizer.ema_decay": 0.5}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    loop.train_and_evaluate(tiny_config(photos, **changes), str(whole))
    loop.train_and_evaluate(tiny_config(photos, total_steps=3, **changes), str(parts))
    loop.train_and_evaluate(tiny_config(photos, **changes), str(parts))
    evals = [
        next(x for x in read_metrics(workdir) if "eval/mae_ab" in x and x["step"] == 6)
        for workdir in (whole, parts)
    ]
    assert evals[0] == evals[1]


def test_targets_on_the_device_train_alike(finished, photos, tmp_path):
    config = tiny_config(photos, total_steps=2, **{"data.targets": "device"})
    loop.train_and_evaluate(config, str(tmp_path / "device"))
    losses = [
        [x["train/loss"] for x in read_metrics(w) if "train/loss" in x][:2]
        for w in (tmp_path / "device", finished[0])
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


@pytest.mark.slow
def test_bad_photos_are_named_once(photos, tmp_path, caplog):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    for name in ("beach/bad.png", "forest/worse.jpg"):
        (folder / name).write_bytes(b"no image")
    workdir = tmp_path / "run"
    loop.train_and_evaluate(tiny_config(folder, total_steps=12), str(workdir))
    assert set((workdir / "skipped.txt").read_text().split()) == {
        "beach/bad.png",
        "forest/worse.jpg",
    }
    named = [r.getMessage() for r in caplog.records if "skipped" in r.getMessage()]
    assert len(named) == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model.kernel_size": 5}, r"different model\.kernel_size"),
        ({"optimizer.name": "sgd"}, r"different optimizer\.name"),
    ],
)
def test_a_workdir_of_another_network_is_refused(finished, photos, changes, says):
    with pytest.raises(RequestError, match=says):
        loop.train_and_evaluate(tiny_config(photos, **changes), str(finished[0]))
