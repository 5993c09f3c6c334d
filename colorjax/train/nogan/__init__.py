"""NoGAN: generated photos between two phases, and which checkpoint to keep."""
