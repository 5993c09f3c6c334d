"""The benchmarks run and print what their readers need; nothing here looks at a time."""

import importlib
import json

import jax
import numpy as np
import pytest
import torch
from helpers.synthetic import synthetic_images
from PIL import Image

from benchmarks import (
    ddcolor,
    depthwise,
    equal_time,
    first_picture,
    own_colors,
    pipeline,
    results_table,
    startup,
    step_memory,
    step_parts,
    step_time,
    torch_peers,
    trade,
)
from colorjax import methods, models
from colorjax.data.prepare import prepare
from colorjax.data.sources.source import read_sample
from colorjax.models.plain_cnn import PlainCNN

FIELDS = {
    "question",
    "row",
    "size",
    "batch",
    "images",
    "images_per_second",
    "median_s",
    "device",
    "versions",
}
TINY_CONFIG = """
from configs import plain_cnn

def get_config(arg=""):
    config = plain_cnn.get_config(arg)
    config.model.update(filters=(4, 4), strides=(2,))
    return config
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.py"
    path.write_text(TINY_CONFIG)
    return f"--config={path}"


def rows_of(capsys):
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(row.keys() >= FIELDS for row in rows)
    return {row["row"]: row for row in rows}


@pytest.mark.slow
def test_startup(capfd):
    assert startup.main(["--photos", "120", "--shards", "3", "--workers", "0"]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [row["row"] for row in rows] == ["prepare", "first_batch"]
    assert rows[1]["photos"] == 120
    assert rows[1]["seconds"] > rows[1]["opening_s"] > 0
    assert 0.05 < rows[1]["peak_gib"] < 5


@pytest.mark.slow
def test_first_picture(capsys):
    assert first_picture.main(["--megapixels", "0.01", "--repeats", "1"]) == 0
    head, _, row, *_ = capsys.readouterr().out.splitlines()
    labels = ["program", "megapixels"]
    assert [cell.strip() for cell in head.strip("|").split("|")] == [*labels, *first_picture.STAGES]
    stages = first_picture.STAGES
    seconds = dict(zip(stages, map(float, row.strip("|").split("|")[2:]), strict=True))
    assert seconds.pop("cpu") > 0
    assert sum(seconds.values()) == pytest.approx(2 * seconds["whole"], abs=0.05)
    assert min(seconds.values()) >= -0.01


def test_depthwise(capsys, monkeypatch):
    monkeypatch.setattr(depthwise, "LAYERS", (depthwise.Layer(8, 3, 5, 2),))
    arguments = ["--size=32", "--batch=2", "--repeats=1", "--torch-threads=1"]
    assert depthwise.main(arguments) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    forms = ["shifts", "xla", "torch"]
    assert [(row["direction"], row["row"]) for row in rows] == [
        (direction, form) for direction in ("forward", "gradient") for form in forms
    ]
    assert all(row.keys() >= FIELDS and row["input"] == [2, 4, 4, 3] for row in rows)
    for ours, xla, peer in (rows[:3], rows[3:]):
        # One turn: both ratios are of the printed medians, rounded.
        assert ours["peer"] == "xla"
        assert ours["ratio_to_peer"] == pytest.approx(xla["median_s"] / ours["median_s"], rel=0.1)
        assert ours["ratio_to_torch"] == pytest.approx(peer["median_s"] / ours["median_s"], rel=0.1)


@pytest.mark.slow
def test_ddcolor(capsys):
    arguments = ["--encoders=convnext_test", "--sizes=64", "--repeats=1", "--torch-threads=1"]
    assert ddcolor.main(arguments) == 0
    rows = rows_of(capsys)
    assert list(rows) == [f"convnext_test {row}" for row in ddcolor.ROWS]
    for name, row in rows.items():
        assert row["difference"] < 1e-3
        assert row["peak_mib"] > 0
        assert ("peer" in row) == (not name.endswith(" torch"))


def test_pipeline(capsys):
    arguments = "--repeats 1 --images 8 --batch 4 --size 16 --workers 0"
    assert pipeline.main(arguments.split()) == 0
    rows = rows_of(capsys)
    assert rows.keys() == {
        "peer_decode",
        "peer_decode_lab",
        "ours_device_targets",
        "ours_host_targets",
        "ours_augmented",
        "ours_aged",
        "pipeline_threads",
        "lab_skimage",
        "lab_colorjax",
        "targets_colorjax",
    }
    for name, peer in pipeline.PEERS.items():
        assert rows[name]["peer"] == peer
        assert rows[name]["ratio_to_peer"] > 0
    assert {row["size"] for row in rows.values()} == {16}
    assert {row["images"] for row in rows.values()} == {8}
    assert rows["pipeline_threads"]["batch"] == 4
    assert rows["targets_colorjax"]["goal"] == 3


@pytest.mark.slow
def test_pipeline_of_real_photos_in_processes(photos, capsys):
    arguments = f"--repeats 1 --images 4 --batch 4 --size 16 --workers 1 --data {photos}"
    assert pipeline.main(arguments.split()) == 0
    assert rows_of(capsys)["pipeline_workers"]["workers"] == 1


def test_pipeline_of_shards(photos, tmp_path, capsys):
    prepare(photos, tmp_path / "shards", num_shards=2, jobs=1)
    arguments = ["--shards", str(tmp_path / "shards"), "--size", "16", "--images", "8"]
    assert pipeline.main([*arguments, "--repeats", "1"]) == 0
    rows = rows_of(capsys)
    assert list(rows) == ["shards_device_targets", "shards_host_targets"]
    assert all(row["images"] == 8 and row["images_per_second"] > 0 for row in rows.values())
    with pytest.raises(SystemExit):
        pipeline.main(["--shards", str(photos)])
    assert "has no *.array_record file" in capsys.readouterr().err


@pytest.mark.parametrize("files", [[], ["broken.jpg"]])
def test_pipeline_without_photos(files, tmp_path, capsys):
    for name in files:
        (tmp_path / name).write_bytes(b"no photo")
    with pytest.raises(SystemExit, match="2"):
        pipeline.main(["--data", str(tmp_path), "--size", "16"])
    assert "photos in" in capsys.readouterr().err


def test_the_peers_do_our_work(tmp_path):
    """Without crops, colorjax decodes the same pixels as Pillow."""
    Image.fromarray(synthetic_images(1, 16)[0]).save(tmp_path / "0.jpg")
    source = pipeline.FolderSource.open(tmp_path, labels="none")
    load = pipeline.LoadForTraining(source, pipeline.uncropped(16, "device"))
    rgb = load(0, pipeline.np.random.default_rng(0))["rgb"]
    assert (rgb == pipeline.decode_with_pillow(tmp_path / "0.jpg")).all()


@pytest.mark.parametrize(
    ("targets", "form"),
    [pytest.param("host", "xla", marks=pytest.mark.slow), ("device", "auto")],
)
def test_step_time(targets, form, config, capsys):
    arguments = f"--size 16 --batch 4 --repeats 1 --steps 2 --targets {targets} --forms {form}"
    assert step_time.main([config, *arguments.split()]) == 0
    rows = rows_of(capsys)
    assert set(rows) == {form, "torch"}
    rows.pop("torch")
    for row in rows.values():
        assert row["targets"] == targets
        assert (row["size"], row["batch"], row["images"]) == (16, 4, 8)
        assert row["compile_s"] > 0
        assert row["flops_per_image"] > 0
        assert row["peer"] == "torch"
        assert row["ratio_to_peer"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--forward"]])
def test_zhang16_beside_pytorch(flags, capsys):
    arguments = [
        "--size",
        "16",
        "--batch",
        "4",
        "--repeats",
        "1",
        "--steps",
        "1",
        "--forms",
        "auto",
    ]
    assert step_time.main(["--config", "configs/zhang16.py:width=0.125", *arguments, *flags]) == 0
    rows = rows_of(capsys)
    assert set(rows) == {"auto", "torch"}
    assert rows["auto"]["ratio_to_peer"] > 0
    assert rows["auto"]["question"].startswith("prediction" if flags else "training")


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--forward"]])
def test_semantic_beside_pytorch(flags, capsys):
    config = "configs/semantic.py:encoder=lite0,width=0.125,size=32"
    arguments = ["--batch", "4", "--repeats", "1", "--steps", "1", "--forms", "auto", *flags]
    assert step_time.main(["--config", config, *arguments]) == 0
    rows = rows_of(capsys)
    assert set(rows) == {"auto", "torch"}
    assert rows["auto"]["ratio_to_peer"] > 0


@pytest.mark.slow
def test_the_parts_of_a_step(capsys):
    arguments = ["--arg", "width=0.125,size=32,batch=4", "--repeats", "1", "--torch-threads", "1"]
    assert step_parts.main(arguments) == 0
    rows = rows_of(capsys)
    ours = {"targets", "encoder", "forward", "loss", "gradient", "step"}
    assert set(rows) == ours | set(step_parts.PEERS.values())
    assert all(rows[name]["ratio_to_peer"] > 0 for name in step_parts.PEERS)


@pytest.mark.parametrize(("variant", "size", "called"), [("cnn", 16, True), ("dense", 128, False)])
@pytest.mark.parametrize("form", step_time.FORMS)
def test_forms_act_on_our_convolutions_alone(form, variant, size, called, key):
    network = models.create("plain_cnn", variant=variant)
    inputs = {"gray": jax.numpy.zeros((1, size, size, 1))}
    with step_time.convolutions_as(form) as convolve:
        jaxpr = jax.make_jaxpr(lambda: network.init(key, inputs, train=False))()
    assert convolve.called == called
    assert ("conv_general_dilated" in str(jaxpr)) == (not called or form != "patches")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--config=configs/nothing.py"], "configs/nothing.py"),
        (["--config=configs/plain_cnn.py:sise=3"], "unknown config argument 'sise'"),
        (["--config=configs/plain_cnn.py", "--size=30"], "multiple of 4"),
        (["--config=configs/plain_cnn.py", "--batch=0"], "invalid at_least_one value"),
    ],
)
def test_step_time_of_a_wrong_request(arguments, text, capsys):
    with pytest.raises(SystemExit, match="2"):
        step_time.main(arguments)
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("strides", [(1, 2, 2, 1, 1, 1), (1,) * 6])
def test_the_pytorch_twin_has_our_layers(strides, key):
    ours = PlainCNN(strides=strides)
    gray = jax.numpy.zeros((1, 16, 16, 1))
    params = jax.eval_shape(lambda: ours.init(key, {"gray": gray}, train=False))["params"]
    twin = torch_peers.plain_cnn(ours)
    assert twin(torch.zeros(1, 1, 16, 16)).shape == (1, 2, 16, 16)
    count = sum(parameter.numel() for parameter in twin.parameters())
    assert count == sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("name", "arg", "changes"),
    [
        ("iizuka", "", {"model.num_classes": 3}),
        ("iizuka", "", {"loss.name": "mse", "model.norm": False, "batch_size": 1}),
        ("edge_fusion", "", {}),
        ("edge_fusion", "global_branch=iizuka,edges=off", {"model.num_classes": 3}),
        ("unet", "", {"data.image_size": 32}),
        ("unet", "", {"data.image_size": 32, "model.layout": "dcgan", "model.space": "lab"}),
    ],
)
@pytest.mark.slow
def test_the_pytorch_twin_trains_and_predicts(name, arg, changes):
    config, network = with_changes(name, arg, {"data.image_size": 40} | changes)
    for build in (torch_peers.trainer, torch_peers.forward):
        run = build(config, network)
        assert not isinstance(run, str), run
        run(1)


@pytest.mark.parametrize(
    ("name", "changes", "why"),
    [
        ("iizuka", {"model.upsample": "nearest"}, torch_peers.NO_TWIN),
        ("iizuka", {"model.activation": "tanh"}, torch_peers.NO_TWIN),
        ("iizuka", {"loss.reduction": "sum"}, torch_peers.NO_TWIN),
        ("iizuka", {"loss.compare_at": "half"}, torch_peers.NO_TWIN),
        ("iizuka", {"optimizer.name": "adadelta"}, torch_peers.NO_TWIN),
        ("iizuka", {"batch_size": 1}, "one value"),
        ("edge_fusion", {"model.edges": "sobel"}, torch_peers.NO_TWIN),
        ("edge_fusion", {"model.raw_lightness": True}, torch_peers.NO_TWIN),
        ("edge_fusion", {"model.dense_activation": "linear"}, torch_peers.NO_TWIN),
        ("semantic", {"loss.feature_weight": 1.0}, torch_peers.NO_TWIN),
        ("semantic", {"model.decoder": "query"}, torch_peers.NO_TWIN),
        ("semantic", {"model.encoder_norm": "batch"}, torch_peers.NO_TWIN),
        ("unet", {"model.head": "bins"}, torch_peers.NO_TWIN),
        ("unet", {"model.norm": "affine"}, torch_peers.NO_TWIN),
        ("unet", {"model.space": "rgb"}, torch_peers.NO_TWIN),
        ("unet", {"loss.name": "adversarial"}, torch_peers.NO_TWIN),
    ],
)
def test_where_pytorch_has_no_twin_the_row_says_so(name, changes, why):
    assert why in torch_peers.trainer(*with_changes(name, "", changes))


def with_changes(name, arg, changes):
    """A small config of that name, and its network."""
    small = "size=32,batch=3,width=0.125"
    config = importlib.import_module(f"configs.{name}").get_config(f"{small},{arg}")
    config.update_from_flattened_dict(changes)
    return config, methods.build_network(config)


@pytest.mark.slow
def test_methods_at_equal_time(config, tmp_path, monkeypatch, capsys):
    tiny = config.removeprefix("--config=")
    monkeypatch.setattr(equal_time, "METHODS", {"ours": tiny, "again": tiny})
    for part in ("train", "val"):
        (tmp_path / part).mkdir()
        for number, photo in enumerate(synthetic_images(40, 64, seed=len(part))):
            Image.fromarray(photo).save(tmp_path / part / f"{number}.png")
    arguments = ["--data", str(tmp_path), "--workdir", str(tmp_path / "runs"), "--methods", "ours"]
    arguments += ["--size", "32", "--batch", "8", "--seeds", "0", "1"]
    arguments += ["--config.log_every=5"]
    assert equal_time.main([*arguments, "--minutes", "0.001"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    times = json.loads((tmp_path / "runs/step_times.json").read_text())
    assert [(row["method"], row["seed"]) for row in rows] == [("ours", 0), ("ours", 1)]
    for row in rows:
        assert row["seconds_a_step"] == times["ours"]
        assert row["steps"] == max(10, round(0.06 / times["ours"]))
        assert row["metrics"]["psnr"] > 0
    assert rows[0]["metrics"] != rows[1]["metrics"]  # the seed counts
    trained = (tmp_path / "runs/ours-0/eval.json").stat().st_mtime_ns
    # Resumes: nothing is left to do.
    assert equal_time.main([*arguments, "--minutes", "0.001"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == rows
    assert (tmp_path / "runs/ours-0/eval.json").stat().st_mtime_ns == trained
    with pytest.raises(SystemExit):
        equal_time.main([*arguments, "--minutes", "2"])
    assert "holds runs of --minutes 0.001; give another --workdir" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        equal_time.main([*arguments, "--minutes", "0.001", "--wrong"])
    assert "unknown arguments: --wrong" in capsys.readouterr().err


@pytest.mark.slow
def test_accumulation_saves_memory(capsys):
    arguments = ["--config", "configs/unet.py:width=0.125", "--size", "32", "--batch", "64"]
    assert step_memory.main([*arguments, "--repeats", "1"]) == 0
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [line[0].removeprefix("| ") for line in lines] == list(step_memory.ROWS)
    memory = [int(line[2].split(" ")[0]) for line in lines]
    assert memory[3] <= memory[2] < memory[0]


def test_the_table_of_results(tmp_path, capsys):
    def row(value):
        return {"metrics": dict.fromkeys(results_table.COLUMNS, value)}

    known = {"mean": 23.456, "interval": [23.0, 24.0]}
    rows = {"grey": row({"mean": 1.0, "interval": None}), "unet": row(known), "oracle_mean": {}}
    content = {"rows": rows, "truth": {"colorfulness": 38.9}}
    (tmp_path / "result.json").write_text(json.dumps(content))
    trained = {"method": "unet", "parameters": 3_210_000, "steps": 303, "batch": 32}
    (tmp_path / "rows.jsonl").write_text(json.dumps(trained) + "\n")
    arguments = [str(tmp_path / "result.json"), "--equal-time", str(tmp_path / "rows.jsonl")]
    assert results_table.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines] == ["", "---", "grey", "unet", "truth"]
    assert lines[3].startswith("| unet | 3.2 M | 9,696 | 23.46 [23.00, 24.00] |")
    assert lines[4].endswith("| 38.9 |")
    assert results_table.main(arguments[:1]) == 0
    assert "parameters" not in capsys.readouterr().out


def test_the_table_of_results_has_one_row_for_all_seeds(tmp_path, capsys):
    def row(value):
        estimate = {"mean": value, "interval": [value - 1, value + 1]}
        return {"metrics": dict.fromkeys(results_table.COLUMNS, estimate)}

    rows = {
        "unet-0": row(22.0),
        "unet-1": row(23.0),
        "unet-2": row(25.0),
        "semantic-lite0": row(24),
    }
    (tmp_path / "result.json").write_text(json.dumps({"rows": rows, "truth": {}}))
    assert results_table.main([str(tmp_path / "result.json")]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split("|")[1].strip() for line in lines] == ["unet", "semantic-lite0", "truth"]
    assert lines[0].startswith("| unet | 23.33 ± 1.53 |")  # NumPy: std([22, 23, 25], ddof=1)
    assert lines[1].startswith("| semantic-lite0 | 24.00 [23.00, 25.00] |")


def test_psnr_at_a_colorfulness_lies_between_the_nearest_saturations():
    curve = {
        s: trade.Values(
            psnr=np.array([24 - s, 22 - 2 * s]), colorfulness=np.array([10 * s, 30 * s])
        )
        for s in (0.5, 1.0, 1.5)
    }
    saturation, values = trade.at_colorfulness(curve, 25.0)  # 20 s
    assert saturation == 1.25
    np.testing.assert_allclose(values.psnr, [22.75, 19.5])
    assert trade.at_colorfulness(curve, 31.0) is None
    better = {"ab": trade.Values(values.psnr + np.array([0.5, 1.5]), values.colorfulness)}
    line = trade.compared(better, {"ab": values})
    assert line["ab_gain"] == [1.0, 0.5, 1.5]  # two photos: either alone may be drawn twice


def test_gray_photos_have_no_psnr():
    photos = synthetic_images(2, 8)
    photos = np.stack([photos[0], np.repeat(photos[1][..., :1], 3, axis=-1)])
    values = trade.Values.of(np.zeros_like(photos), photos)
    assert np.isnan(values.psnr).tolist() == [False, True]
    wanted = 10 * np.log10(255**2 / np.square(photos[0].astype(float)).mean())
    assert values.psnr[0] == pytest.approx(wanted, rel=1e-6)


def test_own_colors(tmp_path, capsys):
    for name in ("coffee", "chelsea"):
        Image.fromarray(read_sample(f"{name}.png")).reduce(2).save(tmp_path / f"{name}.jpg")
    assert own_colors.main([str(tmp_path), "--number", "2"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    rates = {row["row"]: (row["images"], row["in_color"], row["noted"]) for row in rows}
    assert rates["color"] == rates["faded"] == (2, 1, 0)
    assert rates["sepia, JPEG quality 30"] == rates["stained"] == (2, 0, 0)
    assert rates["red stamp of 2 %"] == (2, 0, 1)
