"""Exports that predict without torch: ONNX Runtime, tokenizers and numpy alone."""
