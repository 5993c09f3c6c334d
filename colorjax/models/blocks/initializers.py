"""Initial kernels by name: ours, and those of Keras and TensorFlow for faithful variants."""

from __future__ import annotations

import flax.linen as nn

KERNEL_INITS = {
    "he": None,  # default of Conv
    "glorot": nn.initializers.glorot_uniform(),  # default of Keras
    "lecun": nn.initializers.lecun_normal(),  # default of TensorFlow's variance_scaling
}
# Of transposed convolutions. TensorFlow stores their kernels as (K, K, O, I) and takes its fan-in
# from there: 16 O for 4x4, with deviations of 0.0156, 0.0221 and 0.0313 for 256, 128 and 64
# channels. Glorot's does not depend on that order.
UP_KERNEL_INITS = KERNEL_INITS | {
    "lecun": nn.initializers.variance_scaling(
        1.0, "fan_in", "truncated_normal", in_axis=-1, out_axis=-2
    )
}
