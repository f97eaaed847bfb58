"""Samplers and learners as groups of Ray actors."""
