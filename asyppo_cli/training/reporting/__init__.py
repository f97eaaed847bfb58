"""What a step reports: times, token records, samples, probes, warnings."""
