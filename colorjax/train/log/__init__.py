"""What a training logs: metrics, progress, profiles, health."""
