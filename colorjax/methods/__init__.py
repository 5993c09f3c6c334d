"""Methods: a network with its loss and its targets, built from a config."""

from colorjax.methods.build import build, build_loss, build_network, takes_decode
from colorjax.methods.method import DECODES, Method, Variables

__all__ = [
    "DECODES",
    "Method",
    "Variables",
    "build",
    "build_loss",
    "build_network",
    "takes_decode",
]
