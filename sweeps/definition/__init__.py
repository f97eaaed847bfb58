"""What a sweep runs: the command line's grammar, grids, searches and the named studies."""
