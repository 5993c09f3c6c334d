"""The lightness of results of networks that also predict lightness."""

import jax
import numpy as np
import pytest
from helpers.synthetic import synthetic_images

from colorjax import color, methods
from colorjax.inference.colorizer import Colorizer
from colorjax.train import evaluator
from configs import cgan


def config_of(arguments, **changes):
    config = cgan.get_config(f"width=0.125,size=16,{arguments}")
    config.inference.update(changes)
    return config


@pytest.mark.parametrize("arguments", ["nazeri", "dcgan"])
def test_the_photos_own_unless_asked_otherwise(arguments, tmp_path, make_workdir):
    photo = synthetic_images(1, 37, seed=3)[0]
    truth, result = color.rgb_u8_to_lab(photo), {}
    for whose in ("photo", "predicted"):
        config = config_of(arguments, lightness=whose)
        # Small weights: strong colors would amplify the allowed rounding error.
        workdir = make_workdir(tmp_path / whose, config, deviation=0.02)
        result[whose] = color.rgb_u8_to_lab(Colorizer.load(workdir).colorize(photo))
    assert np.abs(result["photo"][..., 0] - truth[..., 0]).max() <= 0.392
    assert np.abs(result["predicted"][..., 0] - truth[..., 0]).mean() > 5


def test_strength_shares_the_lightness_too(tmp_path, make_workdir):
    photo = synthetic_images(1, 37, seed=3)[0]
    config = config_of("nazeri", lightness="predicted")
    loaded = Colorizer.load(make_workdir(tmp_path / "w", config, deviation=0.02))
    assert np.abs(loaded.colorize(photo, strength=0.0).astype(int) - photo).max() <= 2
    assert np.abs(loaded.colorize(photo).astype(int) - photo).max() > 20


def test_an_evaluation_counts_the_lightness_that_is_seen():
    """With predicted lightness, the error of the picture includes the lightness error."""
    photos = np.stack(synthetic_images(2, 16, seed=1))
    batch = {"rgb": photos, "mask": np.ones(2, np.float32), "label": np.full(2, -1, np.int32)}
    errors, pictures, rng = {}, {}, np.random.default_rng(0)
    for whose in ("photo", "predicted"):
        method = methods.build(config_of("nazeri", lightness=whose), with_loss=False)
        shapes = jax.eval_shape(method.init, jax.random.key(0))
        variables = {
            "params": jax.tree.map(lambda x: rng.normal(0, 0.02, x.shape), shapes["params"]),
            "batch_stats": jax.tree.map(lambda x: np.ones(x.shape), shapes["batch_stats"]),
        }
        variables = jax.tree.map(lambda x: x.astype(np.float32), variables)
        sums, rgb, _ = evaluator.build_steps(method).method(variables, batch)
        errors[whose], pictures[whose] = float(sums["mse"][0]) / 2, np.asarray(rgb)
    for whose, picture in pictures.items():
        wanted = np.mean((picture.astype(float) - photos) ** 2)
        assert errors[whose] == pytest.approx(wanted, rel=1e-4)
    lightness = {w: color.rgb_u8_to_lab(p)[..., 0] for w, p in pictures.items()}
    truth = color.rgb_u8_to_lab(photos)[..., 0]
    inside = np.all((pictures["photo"] > 0) & (pictures["photo"] < 255), axis=-1)
    assert np.abs(lightness["photo"] - truth)[inside].max() < 0.5
    assert np.abs(lightness["predicted"] - truth).mean() > 5
