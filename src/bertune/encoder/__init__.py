"""The BERT encoder on packed tokens."""
