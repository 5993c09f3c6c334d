"""Fine-tunes weights of colorjax as a Flax NNX module: python examples/nnx_finetune.py PHOTOS."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx, traverse_util
from PIL import Image

from colorjax import losses
from colorjax.weights.open import open_weights


def as_nnx(network, variables, inputs):
    """Returns a Linen network with its variables as an NNX module; inputs give the shapes."""
    module = nnx.bridge.ToNNX(network, nnx.Rngs(0)).lazy_init(inputs, train=False)
    flat = {}  # params and batch_stats by the same paths
    for tree in jax.tree.map(np.asarray, variables).values():
        flat |= traverse_util.flatten_dict(tree)
    state = nnx.state(module)
    nnx.replace_by_pure_dict(state, traverse_util.unflatten_dict(flat))
    nnx.update(module, state)
    return module


def as_linen(module):
    """Returns the variables of such a module, as the Linen network takes them."""
    kinds = {"params": nnx.Param, "batch_stats": nnx.BatchStat}
    return {name: nnx.to_pure_dict(nnx.state(module, kind)) for name, kind in kinds.items()}


def read_photos(folder, size=64):
    """Returns the photos of a folder, uint8 (N, size, size, 3); other files are left out."""
    photos = []
    for path in sorted(Path(folder).iterdir()):
        if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp") and path.name[0] != ".":
            with Image.open(path) as image:
                photos.append(np.asarray(image.convert("RGB").resize((size, size))))
    return np.stack(photos)


def finetune(method, variables, photos, loss, steps=20, size=8):
    """Tunes weights on photos, uint8 (N, H, W, 3); returns (module, loss of each step)."""
    photos = np.asarray(photos)
    order = np.arange(steps * size).reshape(steps, size) % len(photos)  # minibatches of `size`
    batches = (method.encode(jnp.asarray(photos[each])) for each in order)  # gray and ab
    module = as_nnx(method.network, variables, {"gray": jnp.zeros((1, *photos.shape[1:3], 1))})
    optimizer = nnx.Optimizer(module, optax.adam(1e-4), wrt=nnx.Param)

    @nnx.jit
    def step(module, optimizer, batch):
        def objective(module):
            return loss.total(loss(module({"gray": batch["gray"]}, train=False), batch))

        value, gradients = nnx.value_and_grad(objective)(module)
        optimizer.update(module, gradients)
        return value

    return module, [float(step(module, optimizer, batch)) for batch in batches]


if __name__ == "__main__":
    photos = read_photos(sys.argv[1])
    weights = open_weights("zhang16-small")
    loss = losses.create("ce")  # cross-entropy of the bins; "l1" for networks without bins
    print(*finetune(weights.method, weights.load()[1], photos, loss)[1], sep="\n")
