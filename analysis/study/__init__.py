"""What a finished study answers."""
