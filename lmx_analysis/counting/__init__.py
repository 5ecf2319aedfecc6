"""What a counting run shows: tables by category, count and length, baselines, error patterns, and the error split."""
