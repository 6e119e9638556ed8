"""`bertune demo`."""


def demo() -> None:
    """Verb."""
