"""Color conversions: pure functions, one implementation for NumPy and JAX arrays.

NumPy arrays give NumPy results, JAX arrays JAX results. The precision is at least float32. sRGB is
in [0, 1], or uint8 where a name contains `u8`. Lab has L in [0, 100] under D65.
"""

from colorjax.color.bins import (
    NUM_BINS,
    NUM_GRID_CELLS,
    ab_bins,
    annealed_mean,
    grid_cell,
    nearest_bin,
    nearest_bins,
    rebalancing_weights,
    soft_encode,
)
from colorjax.color.gamut import inside_srgb, shrink_chroma
from colorjax.color.gray import GRAY_KINDS, gray_from_rgb, gray_of_lightness, gray_photo, gray_plane
from colorjax.color.lab import (
    lab_to_rgb,
    lab_to_rgb_u8,
    rgb_to_lab,
    rgb_u8_to_lab,
    rgb_u8_to_normalized,
)
from colorjax.color.palette import PALETTE_SIZE, palette, palette_input
from colorjax.color.saturation import blend_saturation, scale_saturation
from colorjax.color.scaling import (
    AB_SCALE,
    denormalize_ab,
    denormalize_lightness,
    normalize_ab,
    normalize_lightness,
    rescale_gray,
)
from colorjax.color.spaces import SPACES, lab_to_space, space_to_lab

__all__ = [
    "AB_SCALE",
    "GRAY_KINDS",
    "NUM_BINS",
    "NUM_GRID_CELLS",
    "PALETTE_SIZE",
    "SPACES",
    "ab_bins",
    "annealed_mean",
    "blend_saturation",
    "denormalize_ab",
    "denormalize_lightness",
    "gray_from_rgb",
    "gray_of_lightness",
    "gray_photo",
    "gray_plane",
    "grid_cell",
    "inside_srgb",
    "lab_to_rgb",
    "lab_to_rgb_u8",
    "lab_to_space",
    "nearest_bin",
    "nearest_bins",
    "normalize_ab",
    "normalize_lightness",
    "palette",
    "palette_input",
    "rebalancing_weights",
    "rescale_gray",
    "rgb_to_lab",
    "rgb_u8_to_lab",
    "rgb_u8_to_normalized",
    "scale_saturation",
    "shrink_chroma",
    "soft_encode",
    "space_to_lab",
]
