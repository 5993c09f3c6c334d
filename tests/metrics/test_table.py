"""Titles, decimals and directions of metrics."""

import pytest

from colorjax.metrics import table


def test_the_ab_metrics_of_pictures_and_of_predictions_have_different_names():
    names = ("mae_ab", "rmse_ab", "auc", "auc_rebalanced", "chroma_ratio")
    for name in names:
        assert table.of_predictions(name)
        assert not table.of_pictures(name)
        assert table.of_pictures(f"{name}_8bit")
        assert not table.of_predictions(f"{name}_8bit")
    for name in ("psnr", "psnr_hints_5", "colorfulness"):
        assert table.of_predictions(name)
        assert table.of_pictures(name)


def test_a_selectable_metric_is_of_predictions_and_has_a_direction():
    for name in table.SELECTABLE:
        assert table.of_predictions(name)
        assert table.metric(name).better in (-1, 1)


def test_rows_of_earlier_results_are_read_by_present_names():
    earlier = {"mae_ab": 1.0, "psnr": 2.0, "mae_ab_127": 3.0, "auc": 4.0}
    present = {"mae_ab_8bit": 1.0, "psnr": 2.0, "mae_ab_127": 3.0, "auc_8bit": 4.0}
    assert table.current_names(earlier) == table.current_names(present) == present


@pytest.mark.parametrize(
    ("name", "label", "heading", "text"),
    [
        ("psnr", "psnr ↑", "PSNR, dB", "+1.23"),
        ("mae_ab_8bit", "mae_ab_8bit ↓", "MAE of ab", "+1.23"),
        ("colorfulness", "colorfulness", "colorfulness", "+1.2"),
        ("psnr_hints_5", "psnr_hints_5 ↑", "PSNR with 5 hints, dB", "+1.23"),
    ],
)
def test_a_metric_in_tables(name, label, heading, text):
    assert table.labeled(name) == label
    assert table.heading(name) == heading
    assert table.text(name, 1.2345, "+") == text
