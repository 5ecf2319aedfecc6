"""Starting a command as a process or a Slurm job that outlives its starter, and telling how it ended."""
