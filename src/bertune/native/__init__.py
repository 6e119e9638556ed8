"""The loops between the matrix products, compiled on the user's machine."""
