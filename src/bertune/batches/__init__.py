"""Batches: token ids become the tensors of one step."""
