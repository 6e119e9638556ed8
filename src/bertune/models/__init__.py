"""Families of encoders, the encoder built of their parts, and the classifier on it."""
