"""Data loading: sources, splits, transforms and the grain pipeline."""
