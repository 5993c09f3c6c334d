"""Named benchmark protocols, run whole: photos, rows, metrics with intervals, a card."""

from colorjax.suites.features import FeatureFiles
from colorjax.suites.request import Outcome, Request
from colorjax.suites.run import evaluate

__all__ = ["FeatureFiles", "Outcome", "Request", "evaluate"]
