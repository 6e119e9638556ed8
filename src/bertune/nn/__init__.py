"""Layers that know no family, their precision and device; pooling and losses."""
