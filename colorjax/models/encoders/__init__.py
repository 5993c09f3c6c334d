"""Pretrained encoders: normalized gray in, feature maps at strides 2 to 32 out."""
