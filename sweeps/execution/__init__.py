"""Running trials: claims, heartbeats, processes."""
