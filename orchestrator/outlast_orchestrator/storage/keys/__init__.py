"""Keys for the bucket that reach the prefix of one job and nothing else."""
