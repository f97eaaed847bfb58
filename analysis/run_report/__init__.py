"""Everything about one run on one page."""
