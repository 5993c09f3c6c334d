"""colorjax: image colorization in JAX.

`colorjax.Colorizer` colorizes photos from Python; the `colorjax` command does it from a shell;
`python -m colorjax.main` trains and evaluates.
"""

from typing import TYPE_CHECKING

from colorjax.version import __version__

if TYPE_CHECKING:
    from colorjax.inference.colorizer import Colorizer

__all__ = ["Colorizer", "__version__"]


def __getattr__(name: str):
    if name == "Colorizer":  # imported on first use: data workers never need it
        from colorjax.inference.colorizer import Colorizer

        return Colorizer
    raise AttributeError(f"module 'colorjax' has no attribute {name!r}")
