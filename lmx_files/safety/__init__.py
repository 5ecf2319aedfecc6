"""What is foreign: child processes, git, secrets, and text on its way to a terminal."""
