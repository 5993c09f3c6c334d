"""Workdirs, checkpoints, and weights by name."""
