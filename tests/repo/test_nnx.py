"""examples/nnx_finetune.py: the same predictions as Linen, and a loss that falls."""

import dataclasses
import importlib.util
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from helpers.synthetic import synthetic_images
from PIL import Image

from colorjax import losses, methods, models
from colorjax.weights.open import open_weights
from configs import plain_cnn

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("nnx_finetune", ROOT / "examples/nnx_finetune.py")
example = importlib.util.module_from_spec(spec)
spec.loader.exec_module(example)


@pytest.fixture(scope="module")
def small():
    """A network of colorjax with fresh weights, and two gray photos."""
    network = models.create("plain_cnn", variant="cnn")
    inputs = {"gray": jnp.linspace(-1, 1, 256).reshape(1, 16, 16, 1)}
    run = jax.jit(network.apply, static_argnames="train")
    return (
        network,
        jax.jit(network.init, static_argnames="train")(jax.random.key(3), inputs, train=False),
        inputs,
        run,
    )


def test_a_wrapped_network_predicts_the_same(small):
    network, variables, inputs, run = small
    module = example.as_nnx(network, variables, inputs)
    own = nnx.jit(lambda module: module(inputs, train=False)["ab"])(module)
    wanted = run(variables, inputs, train=False)["ab"]
    np.testing.assert_allclose(own, wanted, atol=1e-6)
    assert float(np.abs(wanted).max()) > 1e-4
    jax.tree.map(np.testing.assert_array_equal, example.as_linen(module), variables)


@pytest.mark.slow
def test_the_loss_falls(small):
    network, variables, _, _ = small
    config = plain_cnn.get_config("debug")
    method = dataclasses.replace(methods.build(config), network=network)
    photos = synthetic_images(2, 16)
    module, values = example.finetune(method, variables, photos, losses.create("l1"), steps=4)
    assert np.all(np.diff(values) < 0), values
    tuned = example.as_linen(module)
    changed = jax.tree.map(lambda a, b: bool(np.any(a != b)), tuned, variables)
    assert all(jax.tree.leaves(changed["params"]["head"]))
    assert not any(jax.tree.leaves(changed["batch_stats"]))


@pytest.mark.slow
def test_bundled_weights_are_tuned_and_go_back():
    weights = open_weights("zhang16-small")
    before = weights.load()[1]
    photos, loss = synthetic_images(2, 16), losses.create("ce")
    module, values = example.finetune(weights.method, before, photos, loss, steps=4)
    assert np.all(np.diff(values) < 0), values
    linen = example.as_linen(module)
    assert jax.tree.structure(linen) == jax.tree.structure(before)
    fields = {"gray": jnp.linspace(-1, 1, 256).reshape(1, 16, 16, 1)}
    tuned, original = (weights.method.predict_ab(each, fields) for each in (linen, before))
    assert float(np.abs(tuned - original).max()) > 0.1  # ab units


def test_photos_of_a_folder_are_read_and_closed_one_by_one(tmp_path, monkeypatch):
    for n, name in enumerate(("a.JPG", "b.png", "c.webp")):
        Image.new("RGB", (9, 7), (n, 0, 0)).save(tmp_path / name)
    Image.new("RGB", (9, 7)).save(tmp_path / "d.tmp", "PNG")
    for name in (".DS_Store", "Thumbs.db", "._a.JPG", "notes.txt"):
        (tmp_path / name).write_bytes(b"no photo")
    (tmp_path / "folder").mkdir()
    opened, open_one = [], Image.open

    def one_by_one(path):
        assert all(image.fp is None for image in opened)
        opened.append(open_one(path))
        return opened[-1]

    monkeypatch.setattr(Image, "open", one_by_one)
    assert example.read_photos(tmp_path, 16).shape == (3, 16, 16, 3)
    assert all(image.fp is None for image in opened)


def test_a_step_sees_a_minibatch(small):
    network, variables, _, _ = small
    seen = []

    class Method:
        def __init__(self):
            self.network = network

        def encode(self, photos):
            seen.append(np.asarray(photos[:, 0, 0, 0]).tolist())
            gray = jnp.zeros((*photos.shape[:3], 1))
            return {"gray": gray, "ab": jnp.zeros((*photos.shape[:3], 2))}

    class Loss:
        def __call__(self, outputs, batch):
            return outputs["ab"]

        def total(self, value):
            return jnp.mean((value - 1) ** 2)

    photos = np.broadcast_to(np.arange(5, dtype=np.uint8)[:, None, None, None], (5, 16, 16, 3))
    _, values = example.finetune(Method(), variables, photos, Loss(), steps=3, size=2)
    assert seen == [[0, 1], [2, 3], [4, 0]]
    assert len(values) == 3


def test_training_mode_updates_the_running_statistics(small):
    network, variables, inputs, _ = small
    module = example.as_nnx(network, variables, inputs)
    module.to_nnx__rngs = nnx.Rngs(0, dropout=1)
    module(inputs, train=True, mutable=["batch_stats"])
    after = example.as_linen(module)["batch_stats"]
    changed = jax.tree.map(lambda a, b: bool(np.any(a != b)), after, variables["batch_stats"])
    assert all(jax.tree.leaves(changed))


def test_the_page_runs_and_names_the_versions_of_the_lock():
    text = (ROOT / "docs/nnx.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    exec(compile(block, "docs/nnx.md", "exec"), {})
    lock = (ROOT / "requirements-lock-py311.txt").read_text()
    stated = re.findall(r"(Flax|JAX|Optax) ([\d.]+\d)", text)
    assert len(stated) == 3
    for name, version in stated:
        assert f"\n{name.lower()}=={version}\n" in lock


def test_the_example_is_short_and_on_its_page():
    assert len((ROOT / "examples/nnx_finetune.py").read_text().splitlines()) < 70
    assert "(../examples/nnx_finetune.py)" in (ROOT / "docs/nnx.md").read_text()
