"""Atomic writes, locks and disk space."""
