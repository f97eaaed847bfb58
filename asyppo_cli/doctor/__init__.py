"""What is installed and works on this machine, and what to do about what does not. Imports nothing that could break."""
