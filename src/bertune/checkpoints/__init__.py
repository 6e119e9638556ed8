"""Checkpoints: files to modules and back, with a receipt for every tensor."""
