"""Intervals, resampling and power."""
