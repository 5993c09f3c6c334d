"""DDColor's weights in both directions, against a PyTorch module of the same layers.

The numbers are those of the acceptance tests in the specification (section 6).
"""

import functools
import hashlib
import subprocess
import sys

import jax
import numpy as np
import pytest
import torch
from helpers.torch_signal import photos_lightness

from benchmarks import torch_ddcolor
from colorjax import color, models
from colorjax.cli import main as cli
from colorjax.errors import RequestError
from colorjax.inference.colorizer import Colorizer
from colorjax.models.blocks import pixel_shuffle
from colorjax.weights.torch import ddcolor as ddcolor_weights
from colorjax.weights.torch import file as torch_file
from colorjax.weights.torch import pretrained
from colorjax.weights.torch.import_published import import_weights

TINY = {"widths": (24, 16, 16), "dim": 16, "queries": 6, "layers": 4, "mlp": 32}
FULL = {"widths": (512, 512, 256), "dim": 256, "queries": 100, "layers": 9, "mlp": 2048}
AB_WITHIN = 1e-3  # of ab in Lab units
E = "encoder.arch"


@functools.cache
def peer(encoder="convnext_test", **options):
    """The PyTorch module with weights that carry signal; its spectral norms are converged (0.4)."""
    net = torch_ddcolor.DDColor(encoder, **(options or TINY))
    seen = torch_ddcolor.gray_rgb(photos_lightness(2, 64, 96))
    return torch_ddcolor.draw(net, run=lambda: net(seen))


def state_of(net):
    return {name: array.detach().numpy().copy() for name, array in net.state_dict().items()}


def imported(net):
    state = state_of(net)
    model = ddcolor_weights.detect(state)
    variables, unused = ddcolor_weights.to_flax(state, model)
    assert unused == []
    options = dict(model)
    return models.create(options.pop("name"), **options), variables, model


def nhwc(tensor):
    return tensor.detach().numpy().transpose(0, 2, 3, 1)


def ab_of(network, variables, lightness):
    gray = nhwc(lightness) / 50 - 1
    apply = jax.jit(lambda v, g: network.apply(v, {"gray": g}, train=False)["ab"])
    return 110 * np.asarray(apply(variables, gray))


def check_parity(net, number, *size, spread=0.2):
    lightness = photos_lightness(number, *size, seed=7)
    with torch.no_grad():
        expected = nhwc(net(torch_ddcolor.gray_rgb(lightness)))
    assert expected.std(axis=(1, 2)).min() > spread  # colors vary within each photo
    network, variables, _ = imported(net)
    actual = ab_of(network, variables, lightness)
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() < AB_WITHIN


@pytest.mark.parametrize(("number", "size"), [(1, (32, 32)), (2, (64, 96))])
def test_9_ab_is_what_pytorch_gives(number, size):
    check_parity(peer(), number, *size)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["convnext_t", "convnext_l"])
def test_9_ab_at_full_size(encoder):
    check_parity(peer(encoder, **FULL), 1, 256, 320)
    peer.cache_clear()


def swap_keys_and_values(monkeypatch):
    original = ddcolor_weights._attention

    def swapped(name, path):
        parts = {0: 0, 1: 2, 2: 1}
        for entry in original(name, path):
            yield entry._replace(part=parts[entry.part]) if entry.parts == 3 else entry

    monkeypatch.setattr(ddcolor_weights, "_attention", swapped)


def reorder_the_stages(monkeypatch):
    original = ddcolor_weights._layer_norm
    monkeypatch.setattr(
        ddcolor_weights,
        "_layer_norm",
        lambda n, p: original(n.replace("cross", "self"), p) if "cross" in n else original(n, p),
    )


def no_blur(monkeypatch):
    monkeypatch.setattr("colorjax.models.ddcolor.shuffle_blur", lambda x: x)


def other_interleaving(monkeypatch):
    def shuffle(x, factor):
        flipped = x.reshape(*x.shape[:3], -1, factor, factor).swapaxes(-1, -2)
        return pixel_shuffle.pixel_shuffle(flipped.reshape(x.shape), factor)

    monkeypatch.setattr("colorjax.models.ddcolor.pixel_shuffle", shuffle)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mistake", [swap_keys_and_values, reorder_the_stages, no_blur, other_interleaving]
)
def test_9_and_11_parity_would_notice(mistake, monkeypatch):
    mistake(monkeypatch)
    with pytest.raises(AssertionError):
        check_parity(peer(), 1, 32, 32)


def test_the_map_works_in_both_directions():
    net = peer()
    _, variables, model = imported(net)
    state, original = ddcolor_weights.to_torch(variables, model), state_of(net)
    assert state.keys() == original.keys()
    for name, array in original.items():
        assert np.array_equal(state[name], array) or name.endswith("num_batches_tracked"), name
    twin = torch_ddcolor.DDColor("convnext_test", **TINY).eval()
    twin.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    rgb = torch_ddcolor.gray_rgb(photos_lightness(1, 32, 64))
    with torch.no_grad():
        assert torch.equal(twin(rgb), net(rgb))


@pytest.mark.parametrize(("encoder", "entries"), [("convnext_t", 440), ("convnext_l", 602)])
def test_2_names_of_the_published_files(encoder, entries):
    with torch.device("meta"):
        net = torch_ddcolor.DDColor(encoder)
    state = {name: np.broadcast_to(np.float32(0), x.shape) for name, x in net.state_dict().items()}
    assert len(state) == entries
    model = ddcolor_weights.detect(state)
    assert model["encoder"] == encoder
    wanted = {entry.name for entry in ddcolor_weights.entries(model)}
    ignored = {"mean", "std"} | {name for name in state if name.endswith("num_batches_tracked")}
    assert wanted | ignored == state.keys()
    assert len(ignored) == 11


def test_2_missing_and_misshapen_arrays_are_listed():
    state = state_of(peer())
    model = ddcolor_weights.detect(state)
    del state["refine_net.0.0.weight_u"]
    state["decoder.level_embed"] = state["mean"]
    state[f"{E}.stages.0.0.gamma"] = np.ones(9, np.float32)
    with pytest.raises(RequestError) as error:
        ddcolor_weights.to_flax(state, model)
    assert str(error.value) == (
        "these are not weights of ddcolor with the encoder convnext_test: 1 missing: "
        f"refine_net.0.0.weight_u; 1 of another shape: {E}.stages.0.0.gamma (9,), not (8,)"
    )


def test_2_unknown_names_are_named_and_the_dead_classifier_is_not():
    state = state_of(peer())
    state |= {f"{E}.head_cls.weight": np.zeros((4, 32)), f"{E}.head_cls.bias": np.zeros(4)}
    state["extra.weight"] = np.zeros(3)
    _, unused = ddcolor_weights.to_flax(state, ddcolor_weights.detect(state))
    assert unused == ["extra.weight"]


def test_2_weights_of_another_size_are_refused():
    state = state_of(peer())
    model = ddcolor_weights.detect(state) | {"encoder": "convnext_t"}
    with pytest.raises(RequestError, match="not weights of ddcolor with the encoder convnext_t: "):
        ddcolor_weights.to_flax(state, model)


@pytest.mark.parametrize(
    ("drop", "says"),
    [
        (f"{E}.norm2.weight", f"they have no {E}.norm2.weight"),
        (f"{E}.stages.2.1.gamma", r"blocks of \(8, 16, 24, 32\) channels; known: convnext_t"),
        ("decoder.color_decoder.query_feat.weight", "they have no decoder.color_decoder.query"),
    ],
)
def test_2_files_of_other_networks_are_refused(drop, says):
    state = state_of(peer())
    del state[drop]
    with pytest.raises(RequestError, match=says):
        ddcolor_weights.detect(state)


def test_another_normalization_of_the_input_is_refused():
    state = state_of(peer()) | {"mean": np.full((1, 3, 1, 1), 0.5, np.float32)}
    with pytest.raises(RequestError, match="normalize their input by mean"):
        ddcolor_weights.to_flax(state, ddcolor_weights.detect(state))


@pytest.mark.parametrize("as_zip", [True, False])
@pytest.mark.parametrize("container", ["bare", "params", "params_ema", "module"])
def test_3_containers(container, as_zip, tmp_path):
    state = {"a": torch.arange(3.0), f"{E}.head_cls.bias": torch.zeros(4)}
    saved = {
        "bare": state,
        "params": {"params": state},
        "params_ema": {"params_ema": state, "params": {"a": torch.zeros(3)}},
        "module": {f"module.{name}": x for name, x in state.items()},
    }[container]
    path = tmp_path / "weights.pth"
    torch.save(saved, path, _use_new_zipfile_serialization=as_zip)
    found = torch_file.read_state_dict(path)
    assert found.keys() == state.keys()
    np.testing.assert_array_equal(found["a"], [0, 1, 2])


def saved(path, container="params", as_zip=True):
    state = peer().state_dict()
    state |= {f"{E}.head_cls.weight": torch.zeros(4, 32), f"{E}.head_cls.bias": torch.zeros(4)}
    content = state if container == "bare" else {container: state}
    torch.save(content, path, _use_new_zipfile_serialization=as_zip)
    return path


@pytest.mark.parametrize(("container", "as_zip"), [("bare", False), ("params", True)])
def test_17_weights_come_in_and_color_a_photo(container, as_zip, tmp_path, capsys):
    path, workdir = saved(tmp_path / "weights.pth", container, as_zip), tmp_path / "run"
    assert cli.run(["import-weights", "ddcolor", str(path), "--output", str(workdir)]) == 0
    printed = capsys.readouterr().out.splitlines()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert printed[0] == f"sha256 {digest}: no published file that is known; used as it is"
    assert printed[1].startswith("encoder convnext_test, 76,420 ")
    assert printed[1].endswith("parameters; colors are predicted at 512 px on the long side")
    # Published as 512 px; 64 here, and the photo has that size: nothing is resized.
    gray = np.round(2.55 * photos_lightness(1, 64, 64, seed=7)[0, 0].numpy()).astype(np.uint8)
    colored = Colorizer.load(workdir, size=64).colorize(gray)
    lightness = color.rgb_u8_to_lab(np.repeat(gray[..., None], 3, -1))[..., :1]
    rgb = torch_ddcolor.gray_rgb(torch.tensor(lightness).permute(2, 0, 1)[None])
    with torch.no_grad():
        ab = peer()(rgb)[0].permute(1, 2, 0).numpy()
    wanted = 255 * color.lab_to_rgb(np.concatenate([lightness, ab], axis=-1))
    assert np.abs(colored - wanted).max() < 1.01  # rounding


def test_17_a_published_sum_is_named(tmp_path, monkeypatch):
    path = saved(tmp_path / "weights.pth")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    published = ddcolor_weights.Published("modelscope", "ddcolor_modelscope.pth")
    monkeypatch.setitem(ddcolor_weights.PUBLISHED, digest, published)
    notices = import_weights("ddcolor", path, tmp_path / "run")
    named = "the published weights modelscope (ddcolor_modelscope.pth)"
    assert notices[0] == f"sha256 {digest}: {named}"
    assert all(len(each) == 64 and int(each, 16) for each in ddcolor_weights.PUBLISHED)


def test_weights_of_zhang_are_no_ddcolor(tmp_path):
    torch.save({"model1.0.weight": torch.zeros(2)}, tmp_path / "weights.pth")
    with pytest.raises(RequestError, match="not weights of ddcolor: they have no "):
        import_weights("ddcolor", tmp_path / "weights.pth", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(RequestError, match="known: ddcolor, "):
        import_weights("vgg16", tmp_path / "weights.pth", tmp_path / "run")


@pytest.mark.slow
def test_the_large_network_is_imported_in_less_than_3_gib(tmp_path):
    torch.save({"params": peer("convnext_l", **FULL).state_dict()}, tmp_path / "weights.pth")
    peer.cache_clear()
    program = """
import resource, sys
from colorjax.weights.torch.import_published import import_weights
print(import_weights("ddcolor", *sys.argv[1:])[-1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    command = [sys.executable, "-c", program, tmp_path / "weights.pth", tmp_path / "run"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "227,869,328 parameters" in lines[-2]
    assert int(lines[-1]) < 3 * 2**20  # kB; measured: 2.7 GiB


def convnext_file(path, **changes):
    """A file as Facebook publishes it: no norms of the returned maps, a classifier."""
    state = peer().state_dict()
    arch = {n.removeprefix(f"{E}."): x for n, x in state.items() if n.startswith(f"{E}.")}
    arch = {n: x for n, x in arch.items() if n[:5] not in ("norm0", "norm1", "norm2", "norm3")}
    arch["head.weight"] = torch.zeros(21_841, 32)
    torch.save({"model": arch | changes}, path)
    return path


def test_the_encoder_starts_from_a_file_of_convnext(tmp_path):
    path = convnext_file(tmp_path / "convnext_tiny_22k_224.pth")
    network, variables, _ = imported(peer())
    (name, encoder), *_ = pretrained.read_encoder(str(path), network).items()
    assert name == "encoder"
    ours, wanted = encoder["params"], variables["params"]["encoder"]
    assert jax.tree.structure(ours) == jax.tree.structure(wanted)
    np.testing.assert_array_equal(ours["norm2"]["scale"], 1)
    np.testing.assert_array_equal(ours["norm2"]["bias"], 0)
    for layer in set(wanted) - {"norm0", "norm1", "norm2", "norm3"}:
        jax.tree.map(np.testing.assert_array_equal, ours[layer], wanted[layer])


def test_files_of_other_encoders_are_refused(tmp_path):
    gamma = {"stages.2.1.gamma": torch.zeros(5)}
    path = convnext_file(tmp_path / "weights.pth", **gamma)
    with pytest.raises(RequestError, match=r"has no weights of convnext_test: 1 of another shape"):
        ddcolor_weights.read_convnext(path, "convnext_test")
