"""`python -m colorjax` is the `colorjax` command."""

import sys

from colorjax.runtime import signals


def run() -> int:
    """Runs the command; returns the exit status."""
    signals.exit_as_stopped()
    from colorjax.cli import main  # later than that: imports take seconds

    return main.run()


if __name__ == "__main__":
    sys.exit(run())
