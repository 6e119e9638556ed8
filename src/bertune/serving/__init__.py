"""The server: models by name, a micro-batcher for each, and the protocols that others' clients speak."""
