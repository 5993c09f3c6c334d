"""Training: state, optimizer, steps, writers and the training loop."""
