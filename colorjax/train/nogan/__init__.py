"""NoGAN: generation of photos for the critic, and selection of the final checkpoint."""
