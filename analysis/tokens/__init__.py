"""Token records: disagreement, gates and gradients."""
