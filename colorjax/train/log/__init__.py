"""Logging of a training: metrics, progress, profiles, health."""
