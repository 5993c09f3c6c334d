"""A module for each format of photo files."""
