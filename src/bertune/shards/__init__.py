"""Data sets on disk: encoded once, read many times."""
