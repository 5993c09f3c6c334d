"""Fine-tuning of weights on the user's own photos."""
