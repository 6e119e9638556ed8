"""The beginning of a text that is too long to be kept or shown."""


def excerpt(text: str, most: int) -> str:
    """Returns a text of at most so many characters and, where it was longer, an ellipsis and how long it was."""
    if len(text) <= most:
        return text
    return f"{text[:most].rstrip()} … ({len(text):,} characters)"
