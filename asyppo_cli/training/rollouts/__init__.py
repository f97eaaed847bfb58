"""Where batches come from: responses sampled, graded, resampled and sampled ahead."""
