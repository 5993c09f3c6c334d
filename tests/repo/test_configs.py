from pathlib import Path

import jax
import pytest
from ml_collections import ConfigDict

from colorjax import methods
from colorjax.errors import RequestError
from colorjax.train import optim
from configs import (
    cgan,
    ddcolor,
    default,
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

CONFIGS = sorted(p.stem for p in Path(default.__file__).parent.glob("*.py"))
METHODS = {
    "plain_cnn": plain_cnn,
    "iizuka": iizuka,
    "edge_fusion": edge_fusion,
    "unet": unet,
    "cgan": cgan,
    "nogan": nogan,
    "zhang16": zhang16,
    "zhang17": zhang17,
    "semantic": semantic,
    "ddcolor": ddcolor,
    "deoldify": deoldify,
}
ARGS = {
    "plain_cnn": ["", "size=32", "size=128", "variant=dense", "demo", "size=32,batch=8,debug"],
    "iizuka": ["", "faithful", "tf1", "size=32,width=0.25,debug"],
    "edge_fusion": [
        "",
        "faithful",
        "edges=sobel",
        "edges=off,global_branch=iizuka",
        "size=32,width=0.25,debug",
    ],
    "unet": ["", "places", "places,size=128", "faithful", "size=64,width=0.25,debug"],
    "cgan": [
        "",
        "nazeri",
        "nazeri,faithful",
        "dcgan",
        "dcgan,faithful",
        "size=64,width=0.25,debug",
    ],
    "nogan": ["", "size=64,width=0.25,debug"],
    "zhang16": [
        "",
        "variant=class",
        "variant=l2,width=0.25",
        "faithful",
        "variant=class,faithful",
        "size=32,debug",
    ],
    "semantic": [
        "",
        "imagenet",
        "encoder=lite2,decoder=query",
        "encoder=none",
        "encoder=tiny,debug",
        "encoder=tiny,hints,debug",
    ],
    "ddcolor": [
        "",
        "encoder=convnext_l,vgg",
        "small,size=128",
        "faithful",
        "faithful,artistic",
        "encoder=convnext_test,size=64,debug",
    ],
    "deoldify": ["", "variant=stable", "size=32,width=0.125,debug"],
    "zhang17": [
        "",
        "learns=classification",
        "learns=regression,faithful",
        "faithful",
        "stage=4",
        "size=32,width=0.25,debug",
    ],
}


def test_no_config_escapes_these_tests():
    assert set(CONFIGS) - {"__init__", "default", "from_json"} == set(METHODS) == set(ARGS)


@pytest.mark.parametrize(("name", "arg"), [(n, a) for n in METHODS for a in ARGS[n]])
def test_every_config_builds(name, arg):
    config = METHODS[name].get_config(arg).lock()
    assert isinstance(config, ConfigDict)
    built = methods.build(config)
    shapes = jax.eval_shape(built.init, jax.random.key(0))
    assert shapes["params"]
    assert METHODS[name].__doc__.count("--config=configs/") >= 1


@pytest.mark.parametrize("name", METHODS)
def test_fields_outside_the_model_are_those_of_default(name):
    def fields(config, prefix=""):
        for key, value in config.items():
            if isinstance(value, ConfigDict):
                yield from fields(value, f"{prefix}{key}.")
            else:
                yield prefix + key

    own = ("model.", "critic.")  # of each network
    known, found = (
        {key for key in fields(config) if not key.startswith(own)}
        for config in (default.get_config(), METHODS[name].get_config())
    )
    assert known == found


@pytest.mark.parametrize(
    ("arg", "says"),
    [
        ("sise=3", "unknown config argument 'sise'; known: size, batch"),
        ("size=big", "must be int, not 'big'"),
        ("size", "needs a value"),
        ("demo=maybe", "true or false"),
    ],
)
def test_arguments_say_what_is_wrong(arg, says):
    with pytest.raises(ValueError, match=says):
        plain_cnn.get_config(arg)


def test_variants_of_zhang16():
    losses = {v: zhang16.get_config(f"variant={v}").loss.name for v in ("full", "class", "l2")}
    assert losses == {"full": "rebalanced_ce", "class": "ce", "l2": "mse"}
    with pytest.raises(ValueError, match="variant must be one of full, class, l2"):
        zhang16.get_config("variant=huber")
    assert zhang16.get_config("variant=l2").model.head == "ab"
    assert {zhang16.get_config(f"variant={v}").model.head for v in ("full", "class")} == {"bins"}


def test_the_faithful_zhang16_is_the_papers():
    # Zhang et al. 2016 and its released solver: systems_b.md, 2.2, 2.3 and 2.5.
    config = zhang16.get_config("faithful")
    assert (config.batch_size, config.data.image_size, config.total_steps) == (40, 176, 450_000)
    assert (config.loss.soft_k, config.loss.soft_sigma, config.loss.lam) == (10, 5.0, 0.5)
    assert (config.optimizer.b1, config.optimizer.b2) == (0.9, 0.99)
    assert config.optimizer.weight_decay <= 1e-4  # decoupled
    rate = optim.build_schedule(config.optimizer, config.total_steps)
    for step, value in ((0, 3e-5), (199_999, 3e-5), (200_000, 1e-5), (375_000, 3e-6)):
        assert float(rate(step)) == pytest.approx(value, rel=0.06)  # 3e-5 x 0.316 = 0.95e-5
    assert zhang16.get_config().loss.soft_k == 5  # the paper's


@pytest.mark.parametrize(
    ("learns", "rate", "stop"), [("classification", 1e-4, 1.0), ("regression", 1e-5, 0.125)]
)
def test_the_faithful_zhang17_is_the_released_code(learns, rate, stop):
    config = zhang17.get_config(f"faithful,learns={learns}")
    assert (config.batch_size, config.data.image_size) == (25, 176)
    assert (config.optimizer.name, config.optimizer.weight_decay) == ("adam", 0)
    assert (config.optimizer.b1, config.optimizer.b2) == (0.9, 0.999)
    assert float(optim.build_schedule(config.optimizer, 100)(99)) == pytest.approx(rate)
    assert (config.data.hints, config.data.hint_stop) == (True, stop)
    assert tuple(config.data.hint_sides) == (1, 9)
    assert config.model.learns == learns
    assert config.evaluation.hint_places == "gaussian"
    assert zhang17.get_config(f"learns={learns}").data.hint_stop == stop


def test_the_stages_of_zhang17_are_those_of_the_released_script():
    """scripts/train_siggraph.sh of colorization-pytorch: 100, 15, 10 and 5 epochs."""
    stages = [zhang17.get_config(f"stage={number}") for number in (1, 2, 3, 4)]
    assert [c.model.learns for c in stages] == ["classification"] * 2 + ["regression"] * 2
    assert [c.optimizer.learning_rate for c in stages] == [1e-4, 1e-4, 1e-5, 1e-6]
    assert [c.data.hint_stop for c in stages] == [1.0, 1.0, 0.125, 0.125]
    assert [c.batch_size for c in stages] == [25] * 4
    epochs = [c.total_steps * 25 / 1_281_167 for c in stages]
    assert epochs[1:] == pytest.approx([15, 10, 5], rel=1e-4)
    assert stages[0].total_steps * 25 / 13_000 == 100
    for arg, says in (
        ("stage=5", "from 1 to 4"),
        ("stage=1,learns=regression", "leave out learns"),
    ):
        with pytest.raises(ValueError, match=says):
            zhang17.get_config(arg)


def test_learns_is_checked_where_the_network_is_built():
    with pytest.raises(RequestError, match="known: both, classification, regression"):
        methods.build(zhang17.get_config("learns=all"))


def test_the_faithful_gans_are_the_originals():
    """systems_a.md 5.2, 5.3 and 5.6."""
    config = cgan.get_config("nazeri,faithful")
    assert (config.batch_size, config.loss.l1_weight, config.optimizer.b1) == (128, 100, 0)
    assert (config.turns.critic_steps, config.turns.generator_steps) == (1, 2)
    assert (config.model.space, config.inference.lightness) == ("lab", "predicted")
    assert config.data.grey == cgan.get_config("nazeri").data.grey == "luma"
    for network in (config.model, config.critic):
        assert (network.norm_epsilon, network.norm_momentum) == (1e-3, 0.99)
        assert (network.kernel_init, network.gray_range) == ("lecun", (0, 255))
    generator, critic = (
        optim.build_schedule(each, config.total_steps)
        for each in (config.optimizer, config.critic_optimizer)
    )
    for critics in (0, 10_000, 24_771, 70_000):  # two updates of the generator for one
        wanted = max(3e-4 * 0.1 ** (critics / 10_000), 1e-6)
        assert float(generator(2 * critics)) == pytest.approx(wanted, rel=1e-3)
        assert float(critic(critics)) == pytest.approx(wanted / 10, rel=1e-3)

    config = cgan.get_config("dcgan,faithful")
    assert (config.batch_size, config.data.grey, config.model.space) == (50, "mean", "rgb")
    assert (config.turns.kind, config.turns.critic_steps) == ("passes", 2)
    assert (config.loss.true_target, config.loss.fooling_target) == (0.9, 0.9)
    assert (config.loss.l1_weight, config.loss.cosine_weight) == (0, 1)
    assert (config.optimizer.learning_rate, config.optimizer.b1) == (1e-4, 0.9)
    for network in (config.model, config.critic):
        assert (network.norm_epsilon, network.norm_momentum) == (1e-3, 0.99)
        assert (network.kernel_init, network.gray_range) == ("glorot", (0, 1))

    config = unet.get_config("faithful")
    rate = optim.build_schedule(config.optimizer, config.total_steps)
    assert float(rate(347)) == pytest.approx(2.35e-7, rel=2e-3)
    assert (config.data.validation, config.data.drop_lowest_hue) == ("hue", 582)
    assert (config.model.norm_epsilon, config.model.norm_momentum) == (1e-3, 0.99)


def test_the_faithful_edge_fusion_and_the_port_of_iizuka():
    """A step of SGD moves the weights as the source's, whose squared error is of ab / 128."""
    config = edge_fusion.get_config("faithful")
    assert config.optimizer.learning_rate == pytest.approx(0.007385, abs=1e-6)
    ab, target = 30.0, 50.0  # d loss / d ab of both forms
    source = 0.01 * 2 * (ab / 128 - target / 128) / 128
    ours = config.optimizer.learning_rate * 2 * (ab / 110 - target / 110) / 110
    assert ours == pytest.approx(source)
    port = iizuka.get_config("tf1")
    assert (port.batch_size, port.total_steps) == (1, 7_000)  # 100 epochs of 70 photos
    assert config.model.stride_padding == port.model.stride_padding == "after"
    assert iizuka.get_config("faithful").model.stride_padding == "both"  # Torch


@pytest.mark.parametrize(
    ("arg", "says"), [("nazeri,dcgan", "give one of them"), ("faithful", "needs nazeri or dcgan")]
)
def test_gans_that_exclude_each_other(arg, says):
    with pytest.raises(ValueError, match=says):
        cgan.get_config(arg)


def test_the_faithful_ddcolor_is_the_original():
    """Section 4 of its specification: weights, learning rates, no flip, no average."""
    config = ddcolor.get_config("faithful")
    assert (config.batch_size, config.data.image_size, config.total_steps) == (16, 256, 400_000)
    assert (config.loss.l1_weight, config.loss.feature_weight) == (11.0, 5.0)
    assert (config.loss.adversarial_weight, config.loss.colorfulness_weight) == (1.0, 2.0)
    assert (config.loss.gan, config.loss.judged_saturation) == ("bce", 1.2)
    assert (config.features.name, config.data.flip) == ("vgg16_bn_conv", False)
    assert methods.build_loss(config).weights["feature_5"] == 5.0
    assert ddcolor.get_config("faithful,artistic").loss.colorfulness_weight == 0
    assert (config.optimizer.name, config.critic_optimizer.name) == ("adamw", "adam")
    assert (config.optimizer.weight_decay, config.critic_optimizer.weight_decay) == (0.01, 0)
    assert (config.optimizer.ema_decay, config.optimizer.encoder_factor) == (0, 1)
    for optimizer in (config.optimizer, config.critic_optimizer):
        assert (optimizer.b1, optimizer.b2, optimizer.clip_norm) == (0.9, 0.99, 0)
        rate = optim.build_schedule(optimizer, config.total_steps)
        for step, value in ((79_999, 1e-4), (80_001, 5e-5), (399_999, 1e-4 / 2**8)):
            assert float(rate(step)) == pytest.approx(value, rel=1e-5)
    with pytest.raises(ValueError, match="small and faithful exclude each other"):
        ddcolor.get_config("small,faithful")
