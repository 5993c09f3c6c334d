"""Films: read, colorized scene by scene, written with their sound."""
