"""Benchmark protocols: photos, rows, metrics with intervals, and a result page."""

from colorjax.evaluate import hecd
from colorjax.evaluate.features import FeatureFiles
from colorjax.evaluate.request import EvaluationResult, Request
from colorjax.evaluate.run import evaluate, run_and_print

__all__ = ["EvaluationResult", "FeatureFiles", "Request", "evaluate", "hecd", "run_and_print"]
