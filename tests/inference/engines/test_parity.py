"""Pictures of exported models beside those of JAX: every network, odd sizes, stored types."""

import numpy as np
import pytest
import skimage.data
from helpers.steps_of import EVERY, config_of
from helpers.workdirs import fresh_workdir
from PIL import Image

from benchmarks import export_loss
from colorjax.inference.colorizer import Colorizer
from colorjax.weights import named
from colorjax.weights.onnx import write
from colorjax.weights.open import open_weights

PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}
SIZES = [(33, 47), (64, 48), (97, 35)]
LEAST = {"float32": 0.999, "float16": 0.99}  # share of pixels that differ by at most 1 level
CHEAP = ("plain_cnn", "unet")
OPTIONS = {"ddcolor": {"saturation": 30.0}}  # fresh weights give it weak colors


def photo(height, width):
    """Colored squares of 8 px with noise."""
    rng = np.random.default_rng(height)
    few = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3))
    pixels = few.repeat(8, 0).repeat(8, 1)[:height, :width] + rng.normal(0, 4, (height, width, 1))
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "name",
    [n if n in CHEAP else pytest.param(n, marks=pytest.mark.slow) for n in EVERY],
)
def test_pictures_of_exported_models_equal_those_of_jax(name, tmp_path):
    """Prints a row of docs/export.md for each engine and stored type, with `pytest -s`."""
    workdir = fresh_workdir(tmp_path / "run", config_of(name, **{"optimizer.ema_decay": 0.0}))
    stored = open_weights(workdir)
    side = stored.method.network.fixed_size
    ours = Colorizer.load(workdir)
    options = OPTIONS.get(name, {})
    wanted = {size: ours.colorize(photo(*size), **options).astype(int) for size in SIZES}
    assert all(np.ptp(picture, axis=-1).max() > 3 for picture in wanted.values())
    for stored_as, least in LEAST.items():
        path = tmp_path / f"{stored_as}.onnx"
        export = write.Export((side, side) if side else None, stored_as)
        path.write_bytes(write.onnx_bytes(stored, export))
        for engine, package in PACKAGES.items():
            pytest.importorskip(package)
            theirs = Colorizer.load(path, engine=engine)
            apart = np.concatenate(
                [
                    np.abs(theirs.colorize(photo(*size), **options) - picture).max(axis=-1).ravel()
                    for size, picture in wanted.items()
                ]
            )
            share = (apart <= 1).mean()
            print(f"| {name} | {stored_as} | {engine} | {100 * share:.3f} % | {apart.max()} |")
            assert share >= least, (stored_as, engine)


@pytest.mark.slow
def test_smaller_types_of_the_default_weights_keep_the_colors():
    pictures = [getattr(skimage.data, n)() for n in ("astronaut", "coffee", "chelsea", "rocket")]
    photos = [np.asarray(Image.fromarray(picture).resize((320, 240))) for picture in pictures]
    rows = export_loss.measure(named.DEFAULT, photos)
    assert rows["float16"]["MB"] <= 12
    assert rows["int8"]["MB"] <= 6
    for stored_as in ("float16", "int8"):
        assert rows[stored_as]["loss"] <= 0.1
        assert rows[stored_as]["chroma"] >= 0.9 * rows["float32"]["chroma"]
    assert rows["float16"]["apart"] <= 0.01
