"""The policy's new weights on their way to the sampler, proved by checksums."""
