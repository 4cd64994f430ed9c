"""Starts a container: `python -m pagemill.reviews.container vision --port 0`."""

import sys

from pagemill.reviews.container.kinds import KINDS
from pagemill.reviews.container.process import main

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in KINDS:
        sys.exit(f"usage: python -m pagemill.reviews.container {{{','.join(KINDS)}}} [--help]")
    main(sys.argv[1], sys.argv[2:])
