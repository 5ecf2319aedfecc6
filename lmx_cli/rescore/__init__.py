"""`lmx rescore`: new metrics on logged samples, scored by lm_eval as the run was."""
