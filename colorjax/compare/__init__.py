"""Methods side by side on the same photos: figure, metrics with intervals, and a page of pictures.

`colorjax compare` is this from a shell; docs/compare.md is the guide.
"""

from colorjax.evaluate.compare import Comparison, compare

__all__ = ["Comparison", "compare"]
