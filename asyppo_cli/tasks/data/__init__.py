"""Problems: files, the hub, procedural tasks, prompts."""
