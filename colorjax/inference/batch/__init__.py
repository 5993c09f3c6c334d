"""Batch processing of photo files: planning, running in parallel, reporting."""
