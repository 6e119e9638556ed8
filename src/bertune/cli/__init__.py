"""The command line: one file a verb, with files of its name beside it for what it does with some inputs alone."""

from bertune.cli.app import main

__all__ = ["main"]
