"""Per-image metrics, their mergeable sums, and trivial predictors as baselines.

A metric takes images (..., H, W, C), NumPy or JAX, and returns one value per image, so that the
caller can mask padding: `masked_sum` per batch, `merge` over batches, `means` at the end.
RGB is on the uint8 scale; ab is in Lab units.
"""

from colorjax.metrics.accuracy import accuracy_within, accuracy_within_ab
from colorjax.metrics.auc import auc, auc_sums
from colorjax.metrics.baselines import ColorTable, color_sums, fit_color_tables
from colorjax.metrics.calibration import Reliability, ece, reliability_points, top_confidence
from colorjax.metrics.classes import in_top
from colorjax.metrics.color_structure import color_structure
from colorjax.metrics.delta_e import delta_e_2000, delta_e_2000_p90, delta_e_2000_pixels
from colorjax.metrics.error import mae_ab, mae_rgb, mse, psnr, rmse_ab
from colorjax.metrics.film import cdc
from colorjax.metrics.frechet import FeatureMoments, frechet_distance, small_sample_warning
from colorjax.metrics.likelihood import bits_per_pixel
from colorjax.metrics.perceptual import lpips, lpips_input
from colorjax.metrics.samples import best_of_n, diversity
from colorjax.metrics.structure import ms_ssim_ab, ssim, ssim_ab
from colorjax.metrics.sums import Sums, masked_sum, means, merge
from colorjax.metrics.vividness import colorfulness, colorfulness_abs, mean_chroma

__all__ = [
    "ColorTable",
    "FeatureMoments",
    "Reliability",
    "Sums",
    "accuracy_within",
    "accuracy_within_ab",
    "auc",
    "auc_sums",
    "best_of_n",
    "bits_per_pixel",
    "cdc",
    "color_structure",
    "color_sums",
    "colorfulness",
    "colorfulness_abs",
    "delta_e_2000",
    "delta_e_2000_p90",
    "delta_e_2000_pixels",
    "diversity",
    "ece",
    "fit_color_tables",
    "frechet_distance",
    "in_top",
    "lpips",
    "lpips_input",
    "mae_ab",
    "mae_rgb",
    "masked_sum",
    "mean_chroma",
    "means",
    "merge",
    "ms_ssim_ab",
    "mse",
    "psnr",
    "reliability_points",
    "rmse_ab",
    "small_sample_warning",
    "ssim",
    "ssim_ab",
    "top_confidence",
]
