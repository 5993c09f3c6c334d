"""Many photo files: what is to be done, in which order, and the report."""
