"""Lets `python -m bertune` do what `bertune` does."""

import sys

from bertune.cli import main

if __name__ == "__main__":
    sys.exit(main())
