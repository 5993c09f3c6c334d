"""Shared infrastructure: paths, atomic writes, signals, child processes, JAX setup."""
