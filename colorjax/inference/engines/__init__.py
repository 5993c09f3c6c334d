"""Engines: what runs a network, JAX, ONNX Runtime or OpenVINO."""
