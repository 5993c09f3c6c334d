import contextlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.synthetic import drawn_variables, synthetic_images, tiny_config
from ml_collections import ConfigDict
from PIL import Image

from colorjax import methods
from colorjax.cli import main as cli
from colorjax.errors import RequestError
from colorjax.finetune import config as finetune_config
from colorjax.finetune import report as finetune_report
from colorjax.finetune import run as finetune
from colorjax.finetune.config import Options, build_config, open_base
from colorjax.inference.colorizer import Colorizer
from colorjax.weights import named
from colorjax.weights.checkpoint import Checkpoints
from colorjax.weights.open import open_weights
from colorjax.weights.workdir import Workdir
from configs import (
    cgan,
    deoldify,
    edge_fusion,
    iizuka,
    nogan,
    plain_cnn,
    semantic,
    unet,
    zhang16,
    zhang17,
)

TINY = Options(steps=2, batch_size=4, min_side=32, held_out=0.2, chosen_by=0.1)


def write_run(folder, config):
    """Writes an untrained run with nonzero weights in every layer; returns its variables."""
    workdir = Workdir(folder)
    workdir.prepare(config)
    method = methods.build(config, with_loss=False)
    variables = drawn_variables(jax.eval_shape(method.init, jax.random.key(0)))
    with contextlib.closing(Checkpoints(workdir.checkpoints)) as checkpoints:
        checkpoints.save(7, variables)
    return variables


def load(folder):
    return open_weights(folder).load()[1]


def same(one, other):
    return jax.tree.all(jax.tree.map(np.array_equal, one, other))


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """30 color photos, and one photo of each excluded kind."""
    root = tmp_path_factory.mktemp("album")
    rng = np.random.default_rng(0)
    for index, image in enumerate(synthetic_images(30, 40)):
        coarse = rng.integers(-60, 60, (5, 5, 3)).repeat(8, 0).repeat(8, 1)
        rgb = np.clip(image + coarse, 0, 255).astype(np.uint8)
        Image.fromarray(rgb).save(root / f"{index:02d}.png")
    (root / "x-broken.jpg").write_bytes(b"no photo")
    Image.fromarray(synthetic_images(1, 16)[0]).save(root / "x-tiny.png")
    Image.open(root / "00.png").convert("L").save(root / "x-grey.png")
    Image.fromarray(np.full((40, 40, 3), (120, 121, 121), np.uint8)).save(root / "x-dull.png")
    (root / "x-same.png").write_bytes((root / "01.png").read_bytes())
    Image.open(root / "02.png").resize((80, 80)).save(root / "x-like.jpg", quality=80)
    return root


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "base"
    smallest = {"model.filters": (4, 4), "model.strides": (2,)}
    return folder, write_run(folder, tiny_config("", **smallest))


@pytest.fixture(scope="module")
def tuned(album, base, tmp_path_factory):
    """Fine-tunes the head of the base for two steps; returns folder, options and outcome."""
    folder = tmp_path_factory.mktemp("runs") / "tuned"
    options = finetune_config.dataclasses.replace(TINY, train_only="head", learning_rate=0.01)
    return folder, options, finetune.finetune(base[0], album, folder, options)


def test_photos_that_teach_nothing_are_counted(tuned):
    photos = tuned[2].record["photos"]
    assert set(photos["left_out"].values()) == {1}
    assert photos["names_left_out"] == {
        "unreadable": ["x-broken.jpg"],
        "tiny": ["x-tiny.png"],
        "grey": ["x-grey.png"],
        "nearly_grey": ["x-dull.png"],
        "copies": ["x-same.png (like 01.png)"],
        "near_copies": ["x-like.jpg (like 02.png)"],
    }
    assert (photos["found"], photos["kept"]) == (36, 30)
    assert (photos["train"], photos["validation"], photos["eval"]) == (21, 3, 6)


def test_only_the_head_changed(tuned, base):
    after, before = load(tuned[0]), base[1]
    assert same(after["batch_stats"], before["batch_stats"])
    for name, layer in before["params"].items():
        assert same(after["params"][name], layer) == (name != "head"), name


def test_frozen_layers_have_no_memory_in_the_optimizer(tuned, base):
    with contextlib.closing(Checkpoints(Workdir(tuned[0]).checkpoints)) as checkpoints:
        state = checkpoints.restore(2, training=None)["training"]
    sizes = sum(np.size(leaf) for leaf in jax.tree.leaves(state["optimizer"]))
    head = sum(leaf.size for leaf in jax.tree.leaves(base[1]["params"]["head"]))
    assert 2 * head <= sizes <= 2 * head + 4  # Adam's two averages, and counters


def test_the_output_is_a_workdir_with_a_report(tuned, base, album):
    folder, _, outcome = tuned
    assert outcome.status == 0
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "checkpoints", "metrics.jsonl", "eval.json"} <= names
    record = json.loads((folder / "finetune.json").read_text())
    assert record["base"]["name"] == str(base[0])
    assert record["base"]["sha256"] == open_base(base[0]).sha256
    assert record["base"]["config"]["model"]["name"] == "plain_cnn"
    held_out = record["held_out"]
    assert held_out["num_photos"] == 6
    for name in ("mae_ab_8bit", "psnr", "colorfulness", "chroma_ratio_8bit"):
        change = held_out["tuned"][name]["mean"] - held_out["base"][name]["mean"]
        assert held_out["difference"][name]["mean"] == pytest.approx(change, abs=1e-6)
        low, high = held_out["difference"][name]["interval"]
        assert low <= change <= high
    assert outcome.table == (folder / "finetune.md").read_text()
    columns = Image.open(folder / "finetune.png")
    assert columns.width == 4 * 160 + 3 * 4
    photo = np.asarray(Image.open(album / "03.png"))
    assert Colorizer.load(folder).colorize(photo).shape == photo.shape
    evaluated = json.loads((folder / "eval.json").read_text())
    assert evaluated["num_images"] == 6  # the same photos


def test_the_same_command_continues_and_others_are_refused(tuned, base, album, tmp_path):
    folder, options, outcome = tuned
    before = (folder / "checkpoints" / "best").stat().st_mtime_ns
    again = finetune.finetune(base[0], album, folder, options)
    assert again.record["held_out"] == outcome.record["held_out"]
    assert (folder / "checkpoints" / "best").stat().st_mtime_ns == before
    with pytest.raises(RequestError, match="different train_only, learning_rate"):
        finetune.finetune(base[0], album, folder, TINY)
    with pytest.raises(RequestError, match="from other weights"):
        finetune.finetune(folder, album, folder, options)
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.png").write_bytes((album / "01.png").read_bytes())
    with pytest.raises(RequestError, match="on the photos of"):
        finetune.finetune(base[0], other, folder, options)
    with pytest.raises(RequestError, match="on a disk"):
        finetune.finetune(base[0], album, "gs://bucket/run", options)
    (tmp_path / "finetune.json").write_text("{}")
    with pytest.raises(RequestError, match="damaged"):
        finetune.finetune(base[0], album, tmp_path, options)


def test_invalid_requests_fail_with_one_line(base, album, tmp_path, capsys):
    def fails(*arguments, output=tmp_path / "out"):
        assert cli.run(["finetune", *map(str, arguments), "--output", str(output)]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len([line for line in lines if line.startswith("colorjax: ")]) == 1
        return lines[-1]

    assert "zhang16-small" in fails("nowhere", "--data", album)
    few = fails(base[0], "--data", album)  # all but one are under 64 px
    assert "1 of 36 photos are usable" in few
    assert "34 are too small" in few
    assert "--min-side" in few
    assert "inside --data" in fails(base[0], "--data", album, output=album / "out")
    assert "holds another run" in fails(base[0], "--data", album, output=base[0])
    assert "--steps" in fails(base[0], "--data", album, "--steps", "0")
    assert "not allowed with" in fails(base[0], "--data", album, "--only", "head", "--add-layer")
    assert not (tmp_path / "out").exists()


def test_an_added_layer_begins_with_what_the_base_predicts(base, album, tmp_path):
    from colorjax.parallel import mesh as parallel
    from colorjax.train import phases, start

    options = finetune_config.dataclasses.replace(TINY, train_only="added")
    config = build_config(open_base(base[0]), options)
    method = methods.build(config)
    layout = parallel.layout_of(config)
    plan = phases.build(config, method, num_photos=20)
    state = start.initialize(plan, method, config, layout)
    assert set(state.params) == {*base[1]["params"], "added"}
    fields = {"gray": jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 1)))}
    plain = methods.build(Workdir(base[0]).read_config(), with_loss=False)
    before = plain.predict_ab(base[1], fields)
    assert float(jnp.std(before)) > 1
    np.testing.assert_array_equal(method.predict_ab(state.variables, fields), before)
    batch = {**fields, "ab": jnp.zeros((4, 32, 32, 2))}
    after, _ = jax.jit(plan.phases[0].step)(state, batch)
    moved = {n for n in state.params if not same(state.params[n], after.params[n])}
    assert moved == {"added"}
    assert same(state.batch_stats, after.batch_stats)


def test_everything_learns_by_default(base):
    config = build_config(open_base(base[0]), TINY)
    assert config.train_only == "all"
    assert methods.build(config).trains == ()


def test_runs_without_a_section_on_training_get_one(tmp_path):
    config = zhang16.get_config("size=32,width=0.125").to_dict()
    kept = {name: config[name] for name in ("dtype", "model")}
    kept["data"] = {"image_size": 256, "saturation": 1.0, "saturation_clip": True}
    kept["inference"] = {"size": 256}
    write_run(tmp_path / "imported", ConfigDict(kept))
    built = build_config(open_base(tmp_path / "imported"), Options(train_only="head"))
    assert built.loss.name == "rebalanced_ce"
    assert (built.data.image_size, built.inference.size) == (128, 256)
    assert built.optimizer.learning_rate == 1e-3
    packed = build_config(open_base(named.DEFAULT), Options(size=96))
    assert (packed.data.image_size, packed.inference.size) == (96, 160)
    assert packed.init_from == named.DEFAULT


TUNED = [deoldify, edge_fusion, iizuka, plain_cnn, semantic, unet, zhang16, zhang17]


@pytest.mark.parametrize("kind", TUNED)
@pytest.mark.parametrize("train_only", ["all", "head", "added"])
def test_every_method_can_be_tuned_by_its_own_loss(kind, train_only):
    config = kind.get_config()
    with config.unlocked():
        if config.model.get("num_classes"):
            config.model.num_classes = 3 if kind is iizuka else 0
        if config.model.get("head") == "auto":
            config.model.head = "ab"
    base = finetune_config.Base("name", config, 1, {})
    built = build_config(base, Options(train_only=train_only))
    method = methods.build(built)
    assert built.loss.name == config.loss.name
    assert bool(method.trains) == (train_only != "all")
    assert method.network.inputs == methods.build(config).network.inputs
    assert built.data.hints == (kind is zhang17)


@pytest.mark.parametrize("kind", [cgan, nogan])
def test_runs_with_a_critic_are_tuned_with_their_l1_only(kind, tmp_path):
    config = kind.get_config("width=0.125")
    with config.unlocked():
        config.model.head = "ab"
    base = finetune_config.Base("name", config, 1, {})
    method = methods.build(build_config(base, Options()))
    assert method.critic is None
    assert method.features is None
    assert list(method.loss.weights) == ["l1"] or method.loss.weights["feature"] == 0


@pytest.mark.parametrize(
    ("arg", "changes"),
    [
        ("hints,", {}),
        (
            "",
            {
                "loss.feature_weight": 0.1,
                "loss.adversarial_weight": 0.1,
                "loss.prior": "nowhere.npz",
            },
        ),
    ],
)
def test_semantic_is_tuned_by_its_two_heads(arg, changes):
    config = semantic.get_config(f"{arg}encoder=tiny,size=32,width=0.125")
    config.update_from_flattened_dict(changes)
    built = build_config(finetune_config.Base("name", config, 1, {}), Options())
    method = methods.build(built)
    assert method.critic is None
    assert method.features is None
    weights = {name: value for name, value in method.loss.weights.items() if value}
    assert weights == {"l1": 11.0, "class": 1.0}
    assert built.loss.lam == 0.99


@pytest.mark.slow
@pytest.mark.parametrize("train_only", ["all", "head", "added"])
def test_a_semantic_run_is_tuned(train_only, album, tmp_path):
    config = semantic.get_config("encoder=tiny,size=32,width=0.125")
    config.model.update(frozen_blocks=3, encoder_norm="frozen")
    config.optimizer.ema_decay = 0.0
    before = write_run(tmp_path / "base", config)
    options = finetune_config.dataclasses.replace(TINY, train_only=train_only)
    outcome = finetune.finetune(tmp_path / "base", album, tmp_path / "tuned", options)
    assert outcome.status == 0
    prior = Workdir(tmp_path / "tuned").read_config().loss.prior
    assert prior == str(tmp_path / "tuned" / "prior.npz")  # of these photos
    after = load(tmp_path / "tuned")
    moved = {name for name, x in before["params"].items() if not same(x, after["params"][name])}
    wanted = {"all": set(before["params"]), "head": {"head", "logits"}, "added": set()}
    # Without a palette in the batch its layer gets no gradient.
    assert moved | {"global"} == wanted[train_only] | {"global"}
    for layer in ("stem", "block0", "block2"):
        frozen = (tree["params"]["encoder"][layer] for tree in (before, after))
        assert same(*frozen)
    photo = np.asarray(Image.open(album / "03.png"))
    assert Colorizer.load(tmp_path / "tuned").colorize(photo).shape == photo.shape


def test_verdicts_and_warnings():
    judge, closeness = finetune_report.judge, finetune_report.judge_closeness
    unseen = finetune_report.UNSEEN
    assert judge({"mean": 1, "interval": [0.5, 2]}, 1) == "better"
    assert judge({"mean": 1, "interval": [0.5, 2]}, -1) == "worse"
    assert judge({"mean": 1, "interval": [-0.1, 2]}, -1) == unseen
    assert judge({"mean": 1, "interval": None}, 1) == unseen
    assert closeness({"mean": 3, "interval": [1, 4]}, 0.5, 1.0) == "farther from the photos"
    assert closeness({"mean": 3, "interval": [-1, 4]}, 0.5, 1.0) == unseen
    warn = finetune_report.warnings_of
    assert warn({"mae_ab_8bit": "better", "psnr": unseen}, 9) == ()
    (worse,) = warn({"mae_ab_8bit": "better", "psnr": "worse"}, 9)
    assert "are worse on the 9 held-out photos: PSNR" in worse
    assert "no significant difference" in warn({"mae_ab_8bit": unseen, "psnr": unseen}, 9)[0]


def test_divided_parts_are_disjoint_and_exact():
    names = [f"{i}.jpg" for i in range(20)]
    parts = finetune.divide(names, 0.2, 0.1)
    assert [len(parts[name]) for name in ("train", "validation", "eval")] == [14, 2, 4]
    assert sorted(name for part in parts.values() for name in part) == sorted(names)
    assert parts == finetune.divide(names[::-1], 0.2, 0.1)
