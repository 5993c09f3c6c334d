"""Says when a network has collapsed to grey or sepia, which a falling loss can hide."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)

LOWEST_SHARE = 0.2  # of the truth's mean chroma


class ChromaAlarm:
    """Warns once each time that predictions stay near grey for long."""

    def __init__(self, patience: int):
        """Warns after `patience` steps in a row below a fifth of the truth's chroma; 0: never."""
        self._patience = patience
        self._low_steps = 0

    def update(self, step: int, chroma_ratio: float) -> bool:
        """Takes one step's mean predicted chroma over the truth's; returns whether it warned."""
        self._low_steps = self._low_steps + 1 if chroma_ratio < LOWEST_SHARE else 0
        if not self._patience or self._low_steps != self._patience:
            return False
        log.warning(
            "step %d: for %d steps the predictions have had less than a fifth of the truth's "
            "chroma (now %.2f); the network may have collapsed to grey or sepia: lower "
            "optimizer.learning_rate, or take a loss over bins with rebalancing",
            step,
            self._low_steps,
            chroma_ratio,
        )
        return True
