"""Fusion of several predictions."""

from types import SimpleNamespace

import numpy as np
from helpers.synthetic import synthetic_images

from colorjax.inference.colorizer import Colorizer
from colorjax.inference.ensemble import predict_fused


def predictor_of(function):
    return SimpleNamespace(colors_and_confidence=function)


def fields_at(size):
    _y, x = np.mgrid[0 : size[0], 0 : size[1]]
    return {"gray": (x / size[1]).astype(np.float32)[None, ..., None]}


def test_a_picture_and_its_mirror_count_alike():
    """An asymmetric prediction is mirrored with its input."""

    def lean(fields):
        n, height, width, _ = fields["gray"].shape
        ramp = np.linspace(-10, 10, width)[None, None, :, None]
        colors = np.broadcast_to(ramp, (n, height, width, 2))
        return colors.astype(np.float32), np.ones((n, height, width, 1), np.float32)

    np.testing.assert_allclose(
        predict_fused(predictor_of(lean), fields_at, [(8, 12)]), 0, atol=1e-5
    )


def test_the_confident_size_counts_most():
    def by_size(fields):
        n, height, width, _ = fields["gray"].shape
        colors = np.full((n, height, width, 2), float(height), np.float32)
        return colors, np.full((n, height, width, 1), 0.9 if height == 16 else 0.1, np.float32)

    result = predict_fused(predictor_of(by_size), fields_at, [(8, 8), (16, 16)])
    assert result.shape == (8, 8, 2)
    np.testing.assert_allclose(result, 0.1 * 8 + 0.9 * 16, rtol=1e-5)


def test_confidence_is_that_of_the_distribution(zhang16_workdir):
    predictor = Colorizer.load(zhang16_workdir)._engine
    fields = predictor.fields(synthetic_images(1, 32)[0][..., 0].astype(np.float32) / 127.5 - 1)
    colors, confidence = predictor.colors_and_confidence(fields)
    np.testing.assert_allclose(colors, predictor.colors(fields), atol=1e-3)
    shares = predictor.distribution(fields, (8, 8))[0].astype(np.float64)
    expected = np.exp((shares * np.log(shares)).sum(-1))
    np.testing.assert_allclose(
        confidence[0, ..., 0].reshape(8, 4, 8, 4).mean((1, 3))[1:-1, 1:-1],
        expected[1:-1, 1:-1],
        rtol=0.3,
    )
    assert (confidence > 0).all()


def test_best_is_the_same_for_a_photo_and_its_mirror(colorizer):
    photo = synthetic_images(1, 64)[0]
    best = colorizer.colorize(photo, quality="best").astype(int)
    mirrored = colorizer.colorize(photo[:, ::-1], quality="best").astype(int)
    assert np.abs(best - mirrored[:, ::-1]).max() <= 3
    assert colorizer.colorize(photo, quality="draft").shape == photo.shape


def test_mirrored_fillings_are_cut_before_predictions_are_fused():
    """A prediction of the left half of a square, whose right half is padding."""

    def halves(fields):
        n, height, width, _ = fields["gray"].shape
        colors = np.zeros((n, height, width, 2), np.float32)
        colors[0, :, : width // 2] = colors[1, :, width // 2 :] = 7  # [1] is the mirrored one
        return colors, np.ones((n, height, width, 1), np.float32)

    result = predict_fused(
        predictor_of(halves),
        lambda size: fields_at((size[0], 2 * size[1])),
        [(8, 4), (16, 8)],
        lambda colors, size: colors[: size[0], : size[1]],
    )
    assert result.shape == (8, 4, 2)
    np.testing.assert_allclose(result, 7, atol=1e-4)
