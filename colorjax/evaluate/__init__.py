"""Named benchmark protocols, run whole: photos, rows, metrics with intervals, a card."""

from colorjax.evaluate.features import FeatureFiles
from colorjax.evaluate.run import evaluate, run
from colorjax.suites.request import Outcome, Request

__all__ = ["FeatureFiles", "Outcome", "Request", "evaluate", "run"]
