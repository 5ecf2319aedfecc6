"""What an evaluation is asked for and what is written of it, where lm_eval does not say it itself."""
