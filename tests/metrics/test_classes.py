import numpy as np
import pytest
import torch

from colorjax.metrics.classes import in_top


@pytest.mark.parametrize("k", [1, 5])
def test_equal_to_the_highest_of_pytorch(k):
    rng = np.random.default_rng(0)
    logits, classes = rng.normal(0, 1, (200, 12)).astype(np.float32), rng.integers(0, 12, 200)
    highest = torch.topk(torch.tensor(logits), k).indices.numpy()
    expected = (highest == classes[:, None]).any(1)
    assert 0.02 < expected.mean() < 0.9
    assert np.array_equal(in_top(logits, classes, k), expected)


def test_of_equal_logits_the_first_counts():
    """Otherwise a constant classifier would always be right."""
    assert in_top(np.zeros((3, 10)), np.arange(3), 1).tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("logits", "classes", "message"),
    [
        (np.zeros((2, 3)), np.zeros(3, int), r"\(N, C\)"),
        (np.zeros((2, 3)), np.array([0, 3]), "class 3 of 3"),
        (np.full((1, 3), np.nan), np.array([0]), "finite"),
    ],
)
def test_what_does_not_fit_is_refused(logits, classes, message):
    with pytest.raises(ValueError, match=message):
        in_top(logits, classes, 1)
