"""Photos in: sources, splits, transforms and the grain pipeline."""
