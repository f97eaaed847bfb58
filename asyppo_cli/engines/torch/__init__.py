"""Learner and sampler in this process, on torch and transformers."""
