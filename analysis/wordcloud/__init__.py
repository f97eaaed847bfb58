"""Which tokens are masked, by count and by rate."""
