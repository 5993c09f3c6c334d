"""Configurations: one file per method, all starting from `default`."""
