"""Named benchmark protocols, run whole: photos, rows, metrics with intervals, a card."""

from colorjax.suites.run import Outcome, Request, evaluate

__all__ = ["Outcome", "Request", "evaluate"]
