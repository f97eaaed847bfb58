"""Functions of the user's in place of built-in ones: found, checked, copied into the run directory, called."""
