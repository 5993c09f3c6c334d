"""Exported models beside JAX: every network, fixed and dynamic sizes."""

import json

import jax
import numpy as np
import pytest
from helpers.steps_of import EVERY, config_of

from colorjax import methods
from colorjax.methods import resolve
from colorjax.weights.onnx.export import PARTS, build

ort = pytest.importorskip("onnxruntime")

VARIANTS = {name: {} for name in EVERY if name not in ("cgan", "nogan")}  # both are the U-Net
VARIANTS |= {
    "semantic/query": {"model.decoder": "query"},
    "semantic/group": {"model.decoder_norm": "group", "model.hint_guide": True},
    "semantic/blend": {"inference.decode": "blend"},
    "zhang16/mode": {"model.temperature": 0.0},
}


def method_of(variant):
    config = config_of(variant.partition("/")[0], **VARIANTS[variant])
    method = methods.build(resolve.resolve(config, 2))
    shapes = jax.eval_shape(method.init, jax.random.key(0))
    rng = np.random.default_rng(3)

    def draw(path, leaf):
        if path[-1].key in ("var", "scale"):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        spread = np.sqrt(2 / max(np.prod(leaf.shape[:-1]), 1)) if path[-1].key == "kernel" else 0.1
        return rng.normal(0, spread, leaf.shape).astype(np.float32)

    return method, jax.tree_util.tree_map_with_path(draw, shapes)


def feeds_of(session, height, width):
    rng = np.random.default_rng(height)
    ranges = {"gray": (0, 100), "hint_ab": (-60, 60), "edges": (0, 1), "global_colors": (0, 0.01)}
    ranges["global_gray"] = (0, 100)
    feeds = {}
    for field in session.get_inputs():
        shape = [{"height": height, "width": width}.get(side, side) for side in field.shape]
        if field.name == "hint_mask":
            feeds[field.name] = rng.integers(0, 2, shape).astype(np.float32)
        else:
            feeds[field.name] = rng.uniform(*ranges[field.name], shape).astype(np.float32)
    return feeds


def expected(method, variables, feeds):
    """The same by JAX, from the documentation of the model's inputs alone."""
    fields = {k: np.moveaxis(x, 1, -1) if x.ndim == 4 else x for k, x in feeds.items()}
    for name in fields.keys() & {"gray", "global_gray"}:
        fields[name] = fields[name] / 50 - 1
    if "hint_ab" in fields:
        fields["hint_ab"] = fields["hint_ab"] / 110
    return jax.device_get(jax.jit(method.predict)(variables, fields))


def run(session, feeds):
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


def session_of(model):
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def assert_equal(method, variables, session, height, width):
    feeds = feeds_of(session, height, width)
    outputs, wanted = run(session, feeds), expected(method, variables, feeds)
    pairs = {"ab": wanted["ab"]}
    if "bin_logits" in wanted:
        pairs["logits"] = wanted["bin_logits"]
    for name, right in pairs.items():
        got = np.moveaxis(outputs[name], 1, -1)
        assert got.shape == right.shape
        scale = np.abs(right).max()
        assert scale > 1e-3
        np.testing.assert_allclose(got, right, atol=2e-5 * max(scale, 1), err_msg=name)


@pytest.mark.parametrize("variant", VARIANTS)
def test_exported_models_give_the_colors_of_jax(variant):
    method, variables = method_of(variant)
    step = method.network.size_multiple
    fixed = method.network.fixed_size
    size = (fixed, fixed) if fixed else (2 * step, 3 * step)
    session = session_of(build(method, variables, size, about={"version": "x"}))
    assert_equal(method, variables, session, *size)
    assert json.loads(session.get_modelmeta().custom_metadata_map["colorjax"]) == {"version": "x"}


@pytest.mark.parametrize(
    "variant",
    [
        *("zhang16", "unet", "semantic/blend", "zhang17", "iizuka", "edge_fusion", "plain_cnn"),
        pytest.param("ddcolor", marks=pytest.mark.slow),
        pytest.param("deoldify", marks=pytest.mark.slow),
    ],
)
def test_a_dynamic_model_takes_every_multiple_of_its_step(variant):
    method, variables = method_of(variant)
    step = method.network.size_multiple
    session = session_of(build(method, variables, None, about={}))
    for rows, columns in ((1, 1), (2, 3), (5, 1)):
        assert_equal(method, variables, session, rows * step, columns * step)


@pytest.mark.parametrize(
    ("variant", "size"),
    [
        ("plain_cnn", (64, 96)),
        ("unet", None),
        ("semantic", None),
        pytest.param("semantic/query", None, marks=pytest.mark.slow),
        pytest.param("iizuka", None, marks=pytest.mark.slow),
        pytest.param("edge_fusion", None, marks=pytest.mark.slow),
        pytest.param("zhang16", None, marks=pytest.mark.slow),
        pytest.param("zhang17", None, marks=pytest.mark.slow),
        pytest.param("ddcolor", (64, 96), marks=pytest.mark.slow),
        pytest.param("deoldify", (64, 96), marks=pytest.mark.slow),
    ],
)
def test_the_decoder_of_the_encoder_is_the_network(variant, size):
    method, variables = method_of(variant)
    models = [build(method, variables, size, about={}, part=part) for part in PARTS]
    tensors = [len(model.graph.initializer) for model in models]
    assert max(tensors[1:]) < tensors[0]
    whole, encoder, decoder = map(session_of, models)
    feeds = feeds_of(whole, *(size or (96, 64)))
    wanted = run(whole, feeds)
    features = run(encoder, {f.name: feeds[f.name] for f in encoder.get_inputs()})
    assert list(features) == [f"features_{n}" for n in range(len(features))]
    given = {f.name: (feeds | features)[f.name] for f in decoder.get_inputs()}
    assert features.keys() <= given.keys()  # the decoder needs all of them
    found = run(decoder, given)
    assert found.keys() == wanted.keys() - {"hint_features", "hint_guide"}
    for name, value in found.items():
        np.testing.assert_allclose(value, wanted[name], atol=1e-4, err_msg=name)
    if variant == "semantic":  # a palette does not need the encoder again
        assert [f.name for f in encoder.get_inputs()] == ["gray"]
        assert given.keys() - features.keys() == {"global_colors"}
