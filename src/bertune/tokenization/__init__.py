"""Text to token ids, and back to places in the text."""
