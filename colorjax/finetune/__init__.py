"""Weights tuned on photos of one's own."""
