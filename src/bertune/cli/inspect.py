"""`bertune inspect`."""


def inspect() -> None:
    """Verb."""
