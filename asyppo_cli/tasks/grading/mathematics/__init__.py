"""Mathematical answers: notation, kinds, comparison, proof."""
