"""What a run will need before anything of it is loaded: memory, work, and what would make it fit. Pure numbers."""
