"""A config as a method: a network with its loss and its targets."""
