"""One program per question; see README.md."""
