"""The command line: one file a verb."""

from bertune.cli.app import main

__all__ = ["main"]
