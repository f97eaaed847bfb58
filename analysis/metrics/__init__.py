"""Metrics over steps and the time line of a run."""
