"""Rewards: whether a response answers its problem."""
