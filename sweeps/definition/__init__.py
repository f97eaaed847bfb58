"""What a sweep is asked to run: grammar, grids, studies, search."""
