"""Photos in and out, and the Colorizer that gives them colour."""
