"""Benchmark protocols: photos, rows, metrics with intervals, and a result page."""

from colorjax.evaluate import ask, hecd
from colorjax.evaluate.features import FeatureFiles
from colorjax.evaluate.request import EvaluationResult, Request
from colorjax.evaluate.run import evaluate, run_and_print

__all__ = [
    "EvaluationResult",
    "FeatureFiles",
    "Request",
    "ask",
    "evaluate",
    "hecd",
    "run_and_print",
]
