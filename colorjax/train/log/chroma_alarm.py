"""Warns when predictions have collapsed to gray or sepia, which a falling loss can hide."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)

LOWEST_SHARE = 0.2  # of the truth's mean chroma


class ChromaAlarm:
    """Warns once for each long period of near-gray predictions."""

    def __init__(self, patience: int):
        """Warns after `patience` steps in a row below a fifth of the truth's chroma; 0: never."""
        self._patience = patience
        self._low_steps = 0

    def update(self, step: int, chroma_ratio: float) -> bool:
        """Records a step's ratio of mean predicted to true chroma; returns whether it warned."""
        self._low_steps = self._low_steps + 1 if chroma_ratio < LOWEST_SHARE else 0
        if not self._patience or self._low_steps != self._patience:
            return False
        log.warning(
            "step %d: for %d steps the predictions have had less than a fifth of the truth's "
            "chroma (now %.2f); the network may have collapsed to gray or sepia: lower "
            "optimizer.learning_rate, or use a loss over bins with rebalancing",
            step,
            self._low_steps,
            chroma_ratio,
        )
        return True
