"""The learner on DeepSpeed."""
