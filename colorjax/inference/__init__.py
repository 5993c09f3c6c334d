"""Inference: the Colorizer, and colorization of photo files and films."""
