"""Training: state, optimizer, step, checkpoints, writers and the one loop."""
