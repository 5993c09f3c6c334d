"""Titles, decimals and directions of all metrics."""

from __future__ import annotations

# name -> (decimals, direction of better), in the order of the tables.
SHOWN = {
    "mae_ab": (2, "↓"),
    "delta_e_2000": (2, "↓"),
    "psnr": (2, "↑"),
    "psnr_of_mean_mse": (2, "↑"),
    "ssim": (3, "↑"),
    "colorfulness": (1, ""),
    "chroma_ratio": (2, ""),
    "accuracy_2": (3, "↑"),
    "accuracy_5": (3, "↑"),
}


PROTOCOL = (
    "finished 8-bit sRGB pictures against the true photos, both at the photo's own size, each "
    "method at its own working size; the input is the photo's lightness (L of CIE Lab, D65) as an "
    "8-bit gray photo, except for pictures of other programs; values per photo, then means over "
    "photos; psnr excludes exactly gray photos, ssim (11x11 Gaussian) those with a side under 11 "
    "px; psnr_of_mean_mse and chroma_ratio (mean chroma, predicted / true) are computed from means "
    "over photos; L counts in accuracy_2 and accuracy_5"
)


# Definition of every name in a result. RGB is 8-bit sRGB of the finished picture, 0 to 255; ab is
# of CIE Lab (D65) computed from it; d is the distance in the ab plane.
METRICS = {
    "mae_ab": "mean of |a - a'| and |b - b'| over pixels, Lab units; mean of photos",
    "mae_ab_127": "mae_ab / 127.5",
    "rmse_ab": "sqrt(mean of (a - a')^2 + (b - b')^2), means over all pixels of all photos",
    "psnr": "10 log10(255^2 / MSE) dB, MSE over the three channels of a photo; mean of photos "
    "that are not exactly gray, a perfect photo counts as 148 dB; of one picture per photo, never "
    "the best of several",
    "psnr_of_mean_mse": "10 log10(255^2 / mean MSE of all photos) dB",
    "ssim": "11x11 Gaussian, sigma 1.5, of R, G and B; mean of photos",
    "delta_e_2000": "CIEDE2000; mean of photos",
    "auc": "area under the share of pixels with d <= t, t from 0 to 150, over all pixels",
    "auc_rebalanced": "the same, pixels weighted by 1 / prior of the true color's bin",
    "colorfulness": "Hasler and Suesstrunk 2003, signed opponents; mean of photos",
    "colorfulness_abs": "the same with absolute opponents, as in CT2, ColorFormer and DDColor",
    "psnr_hints_N": "psnr with the first N of the same random color hints",
    "delta_colorfulness": "|mean colorfulness - that of the true photos|; no interval; see that "
    "of colorfulness",
    "delta_colorfulness_abs": "|mean colorfulness_abs - that of the true photos|, DDColor's",
    "delta_colorfulness_by_photo": "mean of |colorfulness - that of the true photo|",
    "chroma_ratio": "mean chroma / mean true chroma",
    "accuracy_2": "share of pixels within 2 % (Nazeri et al. 2018), L counts too",
    "accuracy_5": "share of pixels within 5 %",
    "bits_per_pixel": "-log2 of the probability of the true color's bin at the working size; "
    "only methods with bins",
    "fid": "Frechet distance of Inception features; see the stamp of the network",
    "lpips": "LPIPS 0.1; see the stamp of the network; mean of photos",
    "top1": "share of photos whose class is VGG16's first",
    "top5": "share of photos whose class is among VGG16's first five",
}


# Metrics where higher is better, and where lower is; the others have no direction.
HIGHER = {"psnr", "psnr_of_mean_mse", "ssim", "auc", "auc_rebalanced", "accuracy_2", "accuracy_5"}
HIGHER |= {"top1", "top5"}


LOWER = {"mae_ab", "mae_ab_127", "rmse_ab", "delta_e_2000", "bits_per_pixel", "fid", "lpips"}
LOWER |= {"delta_colorfulness", "delta_colorfulness_abs", "delta_colorfulness_by_photo"}


SKILL = "1 - mae_ab / mae_ab of per_lightness"


# Direction of the metrics that can select a checkpoint or a trial.
HIGHER_IS_BETTER = {
    "mae_ab": False,
    "rmse_ab": False,
    "mae_rgb": False,
    "psnr": True,
    "psnr_of_mean_mse": True,
    "ssim": True,
    "auc": True,
    "auc_rebalanced": True,
    "delta_e_2000": False,
    "accuracy_2": True,
    "accuracy_5": True,
    "accuracy_ab_2": True,
    "accuracy_ab_5": True,
    "bits_per_pixel": False,
    "top1": True,
}
