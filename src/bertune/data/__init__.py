"""Rows in, examples out: columns, tasks, labels, splits."""
