"""Trials as they run: claims, heartbeats, processes."""
