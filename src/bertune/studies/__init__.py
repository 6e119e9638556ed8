"""Several runs as one result."""
