"""Figures of a study: data function and draw function each."""
