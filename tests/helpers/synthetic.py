"""Photos and configs that the tests make."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from colorjax.data.sources.source import Photo, digest
from colorjax.models.blocks.convolution import BatchNorm, Conv
from configs import plain_cnn


def synthetic_images(number, size, seed=0):
    """Smooth color ramps with a disc: gray predicts color well enough for a loss to fall."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    images = []
    for _ in range(number):
        low, high, disc = rng.uniform(0, 255, (3, 3))
        rgb = low + (high - low) * (x * rng.random() + y * rng.random())[..., None]
        inside = (x - rng.random()) ** 2 + (y - rng.random()) ** 2 < 0.05
        images.append(np.where(inside[..., None], disc, rgb).astype(np.uint8))
    return images


class Arrays:
    """A source of photos in memory: (H, W, 3) uint8, or the bytes of files."""

    class_names = ()

    def __init__(self, photos):
        self.photos, self.keys = photos, [str(number) for number in range(len(photos))]

    def labels(self):
        return None

    def fingerprint(self):
        return digest(*map(bytes, self.photos))

    def __len__(self):
        return len(self.photos)

    def __getitem__(self, index):
        return Photo(self.photos[index], -1)


def tiny_config(photos, **changes):
    """plain_cnn at 32 px, a few channels, eight steps."""
    changes = {"model.filters": (4, 8, 8, 8, 8, 8, 8)} | changes
    return quick(plain_cnn.get_config("size=32,batch=4,debug"), photos, **changes)


def quick(config, photos, **changes):
    """Sets the data of a config, and small batches for its evaluation."""
    with config.unlocked():
        config.update_from_flattened_dict(
            {
                "data.path": str(photos),
                "data.eval_fraction": 0.2,
                "data.validation_fraction": 0.2,
                "evaluation.batch_size": 4,
                "progress": False,
            }
            | changes
        )
    return config.lock()


def drawn_variables(shapes, seed=0):
    """Variables with signal in every layer, for the shapes of `init`, which is slow to compile."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        if path[-1].key == "kernel":
            value = rng.normal(0, np.sqrt(2 / np.prod(leaf.shape[:-1])), leaf.shape)
        else:  # scales and statistics have to be above 0
            value = rng.uniform(0.1, 0.5, leaf.shape)
        return jnp.asarray(value, leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


class TinyNet(nn.Module):
    """A colorizer of two convolutions, with the BatchNorm and the dropout of larger ones."""

    inputs = frozenset({"gray"})
    outputs = frozenset({"ab"})
    size_multiple = 1
    fixed_size = None
    fit = "pad"

    @nn.compact
    def __call__(self, inputs, *, train):
        x = Conv(4)(inputs["gray"], train=train)
        x = nn.relu(BatchNorm()(x, train=train))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return {"ab": jnp.tanh(Conv(2)(x, train=train))}
