"""Export of networks to ONNX: a graph builder, one rule per JAX primitive, the exported file."""
