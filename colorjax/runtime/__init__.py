"""What every program needs: paths, atomic writes, signals, child processes, JAX set-up."""
