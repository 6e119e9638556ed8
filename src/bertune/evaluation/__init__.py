"""Predictions and honest scores."""
