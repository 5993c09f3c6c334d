"""Pretrained encoders from normalized gray to feature maps at strides 2 to 32."""
