"""`python -m colorjax` is the `colorjax` command."""

import sys

from colorjax.cli.main import run

if __name__ == "__main__":
    sys.exit(run())
